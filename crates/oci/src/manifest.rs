//! Image manifests and indexes, OCI's and Docker's (OCI image specification, "Image Manifest",
//! "Image Index"; distribution's schema 2). Schema 1 is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::shorten;
use crate::image::{null_as_default, object};
use crate::{Digest, Platform};

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Every manifest media type we take, for an HTTP `Accept` header.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// The largest manifest or configuration taken from a registry, in bytes.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// What a manifest points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The kind of the content.
    #[serde(default, deserialize_with = "null_as_default")]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Other places to get it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
    /// Free text by key.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What an entry of an index is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The kind of artifact an entry of an index is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor of `bytes`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether this entry of an index is `BuildKit`'s attestation and no image.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|t| t == "attestation-manifest")
            || self
                .platform
                .as_ref()
                .is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
    }

    /// Whether this layer may have to be fetched from [`Self::urls`] and must not be pushed.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains(".foreign.") || self.media_type.contains(".nondistributable.")
    }
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`OCI_MANIFEST`] or [`DOCKER_MANIFEST`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact this is, if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image's configuration; its digest is the image's id.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub layers: Vec<Descriptor>,
    /// What this manifest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free text by key.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Several images, one for each platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`OCI_INDEX`] or [`DOCKER_LIST`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The entries.
    #[serde(default, deserialize_with = "null_as_default")]
    pub manifests: Vec<Descriptor>,
    /// Free text by key.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The entry that runs best on `platform`; entries without a platform come last, attestations
    /// never.
    #[must_use]
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let images = || self.manifests.iter().filter(|entry| !entry.is_attestation());
        let ranked =
            images().filter_map(|entry| Some((entry, platform.rank(entry.platform.as_ref()?)?)));
        let best = ranked.min_by_key(|(_, rank)| *rank).map(|(entry, _)| entry);
        best.or_else(|| images().find(|entry| entry.platform.is_none()))
    }

    /// The platforms offered, for an error message.
    #[must_use]
    pub fn platforms(&self) -> Vec<String> {
        let images = self.manifests.iter().filter(|entry| !entry.is_attestation());
        images.filter_map(|entry| entry.platform.as_ref()).map(ToString::to_string).collect()
    }
}

/// What a registry answers to a request for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time exists, and only briefly")]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several images.
    Index(Index),
}

/// A text is no manifest that we take.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not JSON, or lacks what a manifest must have.
    #[error("malformed manifest")]
    Malformed {
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
    /// Docker's first format, which cannot be verified by digest.
    #[error("manifest has the obsolete schema 1, which is not supported")]
    SchemaOne,
    /// Another schema version.
    #[error("unsupported manifest schema version {version}")]
    UnsupportedVersion {
        /// The version found.
        version: u64,
    },
    /// Another kind of document.
    #[error("unsupported manifest media type `{media_type}`")]
    UnsupportedMediaType {
        /// The media type found, shortened.
        media_type: String,
    },
    /// It is both or neither.
    #[error("manifest is ambiguous: it must have either `config` and `layers` or `manifests`")]
    Ambiguous,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "null_as_default")]
    media_type: String,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index. `content_type` is the registry's header, used only when the
    /// document does not say what it is itself.
    ///
    /// # Errors
    /// [`ManifestError`]; a document that could be read as both kinds is refused
    /// (CVE-2021-41190).
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let malformed = |source| ManifestError::Malformed { source };
        let probe: Probe = object(bytes).map_err(malformed)?;
        if probe.fs_layers.is_some() || probe.schema_version == Some(1) {
            return Err(ManifestError::SchemaOne);
        }
        let version = probe.schema_version.unwrap_or(2);
        if version != 2 {
            return Err(ManifestError::UnsupportedVersion { version });
        }
        if is_index(&probe, content_type)? {
            object(bytes).map(Self::Index).map_err(malformed)
        } else {
            object(bytes).map(Self::Manifest).map_err(malformed)
        }
    }
}

fn is_index(probe: &Probe, content_type: Option<&str>) -> Result<bool, ManifestError> {
    let image = probe.config.is_some() || probe.layers.is_some();
    let index = probe.manifests.is_some();
    if image == index {
        return Err(ManifestError::Ambiguous);
    }
    let header = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let media_type = if probe.media_type.is_empty() { header } else { &probe.media_type };
    match media_type {
        OCI_INDEX | DOCKER_LIST if index => Ok(true),
        OCI_MANIFEST | DOCKER_MANIFEST if image => Ok(false),
        OCI_INDEX | DOCKER_LIST | OCI_MANIFEST | DOCKER_MANIFEST => Err(ManifestError::Ambiguous),
        "" | "application/json" | "text/plain" | "application/octet-stream" => Ok(index),
        other if other.contains("manifest.v1+") && other.contains("docker") => {
            Err(ManifestError::SchemaOne)
        }
        other => Err(ManifestError::UnsupportedMediaType { media_type: shorten(other) }),
    }
}

#[cfg(test)]
mod tests {
    use super::{DOCKER_LIST, DOCKER_MANIFEST, Document, ManifestError, OCI_INDEX, OCI_MANIFEST};
    use crate::Platform;
    use proptest::prelude::*;

    fn digest(fill: &str) -> String {
        format!("sha256:{}", fill.repeat(64))
    }

    fn manifest(media_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}",
            "config":{{"mediaType":"c","digest":"{}","size":3}},
            "layers":[{{"mediaType":"l","digest":"{}","size":5,"annotations":null}}]}}"#,
            digest("a"),
            digest("b")
        )
    }

    #[test]
    fn both_families_of_manifests() {
        for media_type in [OCI_MANIFEST, DOCKER_MANIFEST] {
            let document = Document::parse(manifest(media_type).as_bytes(), None).unwrap();
            let Document::Manifest(manifest) = document else { panic!("an index") };
            assert_eq!(manifest.config.size, 3);
            assert_eq!(manifest.layers.len(), 1);
        }
    }

    #[test]
    fn both_families_of_indexes_select_by_platform() {
        for media_type in [OCI_INDEX, DOCKER_LIST] {
            let entry = |fill: &str, platform: &str| {
                format!(
                    r#"{{"mediaType":"m","digest":"{}","size":1,"platform":{platform}}}"#,
                    digest(fill)
                )
            };
            let text = format!(
                r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{},{},{}]}}"#,
                entry("a", r#"{"os":"unknown","architecture":"unknown"}"#),
                entry("b", r#"{"os":"linux","architecture":"arm","variant":"v7"}"#),
                entry("c", r#"{"os":"linux","architecture":"amd64"}"#),
            );
            let Document::Index(index) = Document::parse(text.as_bytes(), None).unwrap() else {
                panic!("a manifest")
            };
            let select = |text: &str| {
                let platform = Platform::parse(text).unwrap();
                index.select(&platform).map(|entry| entry.digest.hex().get(..1).unwrap().to_owned())
            };
            assert_eq!(select("linux/amd64/v3").as_deref(), Some("c"));
            assert_eq!(select("linux/arm/v7").as_deref(), Some("b"));
            assert_eq!(select("linux/s390x"), None);
            assert_eq!(index.platforms(), ["linux/arm/v7", "linux/amd64"]);
        }
    }

    #[test]
    fn what_is_refused() {
        let parse = |text: &str, header| Document::parse(text.as_bytes(), header).unwrap_err();
        assert!(matches!(
            parse(r#"{"schemaVersion":1,"fsLayers":[]}"#, None),
            ManifestError::SchemaOne
        ));
        assert!(matches!(
            parse(r#"{"schemaVersion":2,"config":{},"manifests":[]}"#, None),
            ManifestError::Ambiguous
        ));
        assert!(matches!(
            parse(r#"{"schemaVersion":2,"layers":[]}"#, Some(OCI_INDEX)),
            ManifestError::Ambiguous
        ));
        assert!(matches!(
            parse(r#"{"schemaVersion":2,"manifests":[]}"#, Some("image/png")),
            ManifestError::UnsupportedMediaType { .. }
        ));
        assert!(matches!(
            parse(r#"{"schemaVersion":3}"#, None),
            ManifestError::UnsupportedVersion { version: 3 }
        ));
        assert!(matches!(parse("<html>", None), ManifestError::Malformed { .. }));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Document::parse(&bytes, None));
        }
    }
}
