//! `~/.docker/config.json`: what Docker's CLI keeps for a user, as far as brig heeds it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use docker_api::Endpoint;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The file's content; unknown fields are other people's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DockerSettings {
    /// Credentials by registry.
    pub(crate) auths: BTreeMap<String, StoredAuth>,
    /// Programs that keep credentials, by registry.
    pub(crate) cred_helpers: BTreeMap<String, String>,
    /// The program for all other registries.
    pub(crate) creds_store: String,
    /// Context that commands speak to.
    pub(crate) current_context: String,
    /// `--format` of `ps`.
    pub(crate) ps_format: String,
    /// `--format` of `images`.
    pub(crate) images_format: String,
    /// `--format` of `stats`.
    pub(crate) stats_format: String,
    /// `--format` of `network ls`.
    pub(crate) networks_format: String,
    /// `--format` of `volume ls`.
    pub(crate) volumes_format: String,
    /// Keys that detach.
    pub(crate) detach_keys: String,
    /// Proxies put into the environment of containers, by daemon or `default`.
    pub(crate) proxies: BTreeMap<String, Proxies>,
}

/// Credentials of one registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub(crate) struct StoredAuth {
    /// `base64(user:password)`.
    pub(crate) auth: String,
    /// In the clear, by other tools.
    pub(crate) username: String,
    /// In the clear, by other tools.
    pub(crate) password: String,
    /// Token for getting tokens.
    #[serde(rename = "identitytoken")]
    pub(crate) identity_token: String,
    /// Token for the registry itself.
    #[serde(rename = "registrytoken")]
    pub(crate) registry_token: String,
}

/// Proxies for containers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl Proxies {
    /// Variables for a container, in both spellings.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let all = [
            ("HTTP_PROXY", &self.http_proxy),
            ("HTTPS_PROXY", &self.https_proxy),
            ("NO_PROXY", &self.no_proxy),
            ("FTP_PROXY", &self.ftp_proxy),
            ("ALL_PROXY", &self.all_proxy),
        ];
        let set = all.into_iter().filter(|(_, value)| !value.is_empty());
        set.flat_map(|(name, value)| {
            [(name.to_owned(), value.clone()), (name.to_ascii_lowercase(), value.clone())]
        })
        .collect()
    }
}

impl DockerSettings {
    /// Reads `config.json` in `directory`; an absent file is empty settings.
    ///
    /// # Errors
    /// When the file cannot be read or is not JSON.
    pub(crate) fn load(directory: Option<&Path>) -> Result<Self> {
        let Some(directory) = directory else { return Ok(Self::default()) };
        let path = directory.join("config.json");
        let failed = |reason: String| Error::Settings { path: path.display().to_string(), reason };
        match std::fs::read(&path) {
            Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(Self::default()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// The proxies for containers of the daemon at `endpoint`.
    pub(crate) fn proxies_for(&self, endpoint: &Endpoint) -> Option<&Proxies> {
        self.proxies.get(&endpoint.to_string()).or_else(|| self.proxies.get("default"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextFile {
    name: String,
    #[serde(default)]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
}

/// Where the daemon of a context listens.
///
/// # Errors
/// When there is no such context, or it is reached by ways that brig does not speak.
pub(crate) fn context_endpoint(directory: Option<&Path>, name: &str) -> Result<Endpoint> {
    let missing = || Error::State(format!("context {name:?}: context not found"));
    let directory = directory.ok_or_else(missing)?.join("contexts/meta");
    for entry in std::fs::read_dir(directory).map_err(|_| missing())?.flatten() {
        let Some(context) = read_context(&entry.path().join("meta.json")) else { continue };
        if context.name != name {
            continue;
        }
        let host = context.endpoints.get("docker").map(|e| e.host.as_str()).unwrap_or_default();
        return host.parse().map_err(|_| {
            Error::State(format!(
                "context {name:?} is reached by {host:?}; brig speaks unix:// and tcp:// only"
            ))
        });
    }
    Err(missing())
}

fn read_context(path: &PathBuf) -> Option<ContextFile> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{DockerSettings, context_endpoint};

    #[test]
    fn settings_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let load = || DockerSettings::load(Some(directory.path()));
        assert!(load().unwrap().auths.is_empty());
        let text = r#"{"auths":{"r":{"auth":"dTpw"}},"credsStore":"pass","HttpHeaders":{},
            "proxies":{"default":{"httpProxy":"http://p"}}}"#;
        fs::write(directory.path().join("config.json"), text).unwrap();
        let settings = load().unwrap();
        assert_eq!(settings.auths["r"].auth, "dTpw");
        let proxies = settings.proxies_for(&"unix:///x".parse().unwrap()).unwrap().variables();
        assert_eq!(proxies.len(), 2);
        fs::write(directory.path().join("config.json"), "{").unwrap();
        assert!(load().unwrap_err().to_string().contains("config.json"));
    }

    #[test]
    fn contexts_are_found_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("contexts/meta/0123");
        fs::create_dir_all(&place).unwrap();
        let text = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://h:1"}}}"#;
        fs::write(place.join("meta.json"), text).unwrap();
        let endpoint = context_endpoint(Some(directory.path()), "far").unwrap();
        assert_eq!(endpoint.to_string(), "tcp://h:1");
        assert!(context_endpoint(Some(directory.path()), "near").is_err());
        fs::write(place.join("meta.json"), text.replace("tcp://h:1", "ssh://h")).unwrap();
        let error = context_endpoint(Some(directory.path()), "far").unwrap_err();
        assert!(error.to_string().contains("ssh://h"));
    }
}
