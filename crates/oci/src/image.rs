//! Image configurations and chain ids (OCI image specification, "Image Configuration", with
//! Docker's additions).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Digest, Platform};

/// The configuration of an image; the digest of its bytes is the image's id.
///
/// It is read to be used, never written back: the bytes a digest belongs to are kept as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The processor it is for, in Go's words.
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The processor's variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system it is for, in Go's words.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// Windows only.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// How its containers run.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: ExecutionConfig,
    /// Its layers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
    /// How it was made, one entry per instruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
    /// Docker's version, from old images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
}

/// How containers of an image run unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecutionConfig {
    /// `user`, `uid`, `user:group` or empty.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program if there is no entrypoint.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Whether `Cmd` is one string already escaped (Windows).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Where the program starts.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `port/protocol` of each port it serves.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exposed_ports: Vec<String>,
    /// Paths that become anonymous volumes.
    #[serde(
        deserialize_with = "keys",
        serialize_with = "as_keys",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<String>,
    /// The signal that asks the program to end, a name or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and the kill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// How to see whether the program is well (Docker).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The shell of the shell forms of instructions (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Instructions for images built on this one (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// The container's host name (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The container's domain name (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Whether standard input stays open (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// Whether there is a terminal (Docker).
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub tty: bool,
}

/// A health check; durations in nanoseconds, 0 = default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; empty = inherit.
    #[serde(deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Time between two probes.
    #[serde(deserialize_with = "null_as_default")]
    pub interval: i64,
    /// Time after which a probe has failed.
    #[serde(deserialize_with = "null_as_default")]
    pub timeout: i64,
    /// Time after the start in which failures do not count.
    #[serde(deserialize_with = "null_as_default")]
    pub start_period: i64,
    /// Time between two probes in that time.
    #[serde(deserialize_with = "null_as_default")]
    pub start_interval: i64,
    /// Failures in a row until the container counts as unhealthy.
    #[serde(deserialize_with = "null_as_default")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub kind: String,
    /// The digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step in the making of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// When it is not JSON of this shape.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        object(bytes)
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> Platform {
        let os = if self.os.is_empty() { "linux" } else { &self.os };
        Platform::new(os, &self.architecture, self.variant.as_deref())
    }
}

/// The chain ids of an image's layers, lowest first (OCI image specification, "Layer ChainID"): each
/// names a layer together with everything below it.
#[must_use]
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
            None => diff_id.clone(),
        };
        chain.push(next);
    }
    chain
}

/// The chain id of the topmost layer; `None` without layers.
#[must_use]
pub fn chain_id(diff_ids: &[Digest]) -> Option<Digest> {
    chain_ids(diff_ids).pop()
}

/// Reads a JSON object; an array, which serde would take for the fields in order, is refused.
pub(crate) fn object<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(serde::de::Error::custom("want an object, found an array"));
    }
    serde_json::from_slice(bytes)
}

/// JSON's `null` as an absent value: Go writes it for empty slices and maps.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The keys of a set that Go writes as an object of empty objects.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let set: Option<BTreeMap<String, serde::de::IgnoredAny>> = Option::deserialize(deserializer)?;
    Ok(set.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(keys: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}
    serializer.collect_map(keys.iter().map(|key| (key, Empty {})))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::{ImageConfig, chain_id, chain_ids};
    use crate::Digest;
    use proptest::prelude::*;

    #[test]
    fn a_docker_configuration_with_nulls() {
        let text = r#"{
            "architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","container":"x",
            "config":{"Hostname":"","User":"","Env":["PATH=/bin"],"Cmd":["sh"],"Entrypoint":null,
              "Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Labels":null,"OnBuild":null,
              "Healthcheck":{"Test":["CMD","true"],"Interval":30000000000},"WorkingDir":"/app"},
            "rootfs":{"type":"layers","diff_ids":null},
            "history":[{"created_by":"RUN x","empty_layer":true}]}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.env, ["PATH=/bin"]);
        assert!(config.config.entrypoint.is_empty());
        assert_eq!(config.config.volumes, ["/data"]);
        assert_eq!(config.config.exposed_ports, ["80/tcp"]);
        assert_eq!(config.config.healthcheck.as_ref().unwrap().interval, 30_000_000_000);
        assert!(config.history[0].empty_layer);
        assert_eq!(config.platform().to_string(), "linux/amd64");
        let again = ImageConfig::parse(&serde_json::to_vec(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn truncated_configurations_are_refused() {
        for text in ["", "{", "[]", r#"{"rootfs":{"diff_ids":["sha256:0"]}}"#] {
            assert!(ImageConfig::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn chains() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(chain_id(&[]), None);
        assert_eq!(chain_id(std::slice::from_ref(&one)), Some(one.clone()));
        let both = Digest::of(format!("{one} {two}").as_bytes());
        assert_eq!(chain_ids(&[one.clone(), two]), [one, both]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(ImageConfig::parse(&bytes));
        }
    }
}
