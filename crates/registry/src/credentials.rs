//! Who we are to a registry, and Docker's and containers' files that say so.
//!
//! The texts are read by the caller; a credential helper is run by the caller too, through a
//! callback: this room starts no programs.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use stdx::Secret;

use crate::error::{Error, Result};

/// The user name by which a helper marks its secret as an identity token.
const TOKEN_USER: &str = "<token>";

/// What proves to one registry who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password (or a personal access token in its place).
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret<String>,
    },
    /// A refresh token that the token server exchanges for access tokens.
    Identity {
        /// The token.
        token: Secret<String>,
    },
    /// An access token that is sent to the registry as it is.
    Bearer {
        /// The token.
        token: Secret<String>,
    },
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { username: username.into(), password: Secret::new(password.into()) }
    }

    /// An identity (refresh) token.
    #[must_use]
    pub fn identity(token: impl Into<String>) -> Self {
        Self::Identity { token: Secret::new(token.into()) }
    }

    /// The value of an `Authorization: Basic` header, without the scheme.
    pub(crate) fn basic_value(username: &str, password: &Secret<String>) -> Secret<String> {
        Secret::new(STANDARD.encode(format!("{username}:{}", password.expose())))
    }

    /// Tells identities apart in the token cache. Never printed.
    pub(crate) fn cache_key(&self) -> Secret<String> {
        Secret::new(match self {
            Self::Basic { username, password } => format!("b{username}\n{}", password.expose()),
            Self::Identity { token } => format!("i{}", token.expose()),
            Self::Bearer { token } => format!("t{}", token.expose()),
        })
    }
}

/// What a credential helper (`docker-credential-… get`) answers.
#[derive(Debug, Clone)]
pub struct HelperAnswer {
    /// The user's name, or `<token>` when the secret is an identity token.
    pub username: String,
    /// The password or the token.
    pub secret: Secret<String>,
}

/// The credentials part of `~/.docker/config.json` or containers' `auth.json`.
#[derive(Clone, Default)]
pub struct CredentialFile {
    auths: BTreeMap<String, Credentials>,
    default_helper: Option<String>,
    helpers: BTreeMap<String, String>,
}

impl fmt::Debug for CredentialFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registries: Vec<_> = self.auths.keys().collect();
        formatter
            .debug_struct("CredentialFile")
            .field("auths", &registries)
            .field("default_helper", &self.default_helper)
            .field("helpers", &self.helpers)
            .finish()
    }
}

#[derive(serde::Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credsStore")]
    default_helper: Option<String>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

impl Entry {
    fn credentials(self) -> Result<Option<Credentials>, &'static str> {
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = present(self.registry_token) {
            return Ok(Some(Credentials::Bearer { token: Secret::new(token) }));
        }
        if let Some(token) = present(self.identity_token) {
            return Ok(Some(Credentials::identity(token)));
        }
        if let Some(auth) = present(self.auth) {
            let trimmed = auth.trim_end_matches('=');
            let bytes = STANDARD_NO_PAD.decode(trimmed).map_err(|_| "auth is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
            let (username, password) = text.split_once(':').ok_or("auth has no colon")?;
            return Ok(Some(Credentials::basic(username, password.trim_end_matches('\0'))));
        }
        match (present(self.username), self.password) {
            (Some(username), Some(password)) => Ok(Some(Credentials::basic(username, password))),
            _ => Ok(None),
        }
    }
}

impl CredentialFile {
    /// Reads the text of a `config.json` or `auth.json`; everything else in it is ignored.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is not JSON of that shape or an `auth` cannot be decoded.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason| Error::Configuration { what: "credentials file", reason };
        let document: Document =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let mut auths = BTreeMap::new();
        for (key, entry) in document.auths {
            let credentials =
                entry.credentials().map_err(|reason| invalid(format!("{key}: {reason}")))?;
            if let Some(credentials) = credentials {
                auths.insert(normalize(&key), credentials);
            }
        }
        let helpers =
            document.helpers.into_iter().map(|(key, helper)| (normalize(&key), helper)).collect();
        let default_helper = document.default_helper.filter(|name| !name.is_empty());
        Ok(Self { auths, default_helper, helpers })
    }

    /// The credentials for a repository (`registry/path`), most specific entry first: a helper
    /// named for it, then an entry of its own, then the helper for everything.
    ///
    /// `ask` runs `docker-credential-<first argument> get` with the second argument on its
    /// standard input; `None` when the helper has nothing.
    pub fn find(
        &self,
        registry: &str,
        repository: &str,
        mut ask: impl FnMut(&str, &str) -> Option<HelperAnswer>,
    ) -> Option<Credentials> {
        let registry = normalize(registry);
        let server = server_key(&registry);
        if let Some(helper) = self.helpers.get(&registry) {
            return ask(helper, server).map(from_helper);
        }
        let mut key = format!("{registry}/{repository}");
        loop {
            if let Some(credentials) = self.auths.get(&key) {
                return Some(credentials.clone());
            }
            let Some(end) = key.rfind('/') else { break };
            key.truncate(end);
        }
        let helper = self.default_helper.as_deref()?;
        ask(helper, server).map(from_helper)
    }
}

fn from_helper(answer: HelperAnswer) -> Credentials {
    if answer.username == TOKEN_USER {
        return Credentials::Identity { token: answer.secret };
    }
    Credentials::Basic { username: answer.username, password: answer.secret }
}

/// What helpers know a registry by.
fn server_key(registry: &str) -> &str {
    if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry }
}

/// `https://index.docker.io/v1/` and `registry.example.com/v2/` in the form of a reference.
fn normalize(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    let (host, path) = key.split_once('/').map_or((key, ""), |(host, path)| (host, path));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        other => other,
    };
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use stdx::Secret;

    use super::{CredentialFile, Credentials, HelperAnswer};

    const FILE: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnM6ZWNyZXQ="},
            "quay.io": {"auth": "YTpi"},
            "quay.io/team": {"username": "team", "password": "x"},
            "empty.example": {},
            "azure.example": {"auth": "MDA6", "identitytoken": "refresh"}
        },
        "credsStore": "desktop",
        "credHelpers": {"gcr.example": "gcloud"},
        "HttpHeaders": {"User-Agent": "x"}
    }"#;

    fn find(registry: &str, repository: &str) -> Option<Credentials> {
        let file = CredentialFile::parse(FILE).unwrap();
        file.find(registry, repository, |helper, server| {
            let username = if helper == "gcloud" { "<token>" } else { helper };
            (server != "none.example").then(|| HelperAnswer {
                username: username.to_owned(),
                secret: Secret::new(server.to_owned()),
            })
        })
    }

    #[test]
    fn entries_of_the_file() {
        let basic = |name, password| Some(Credentials::basic(name, password));
        assert_eq!(find("docker.io", "library/x"), basic("hub", "s:ecret"));
        assert_eq!(find("quay.io", "other/x"), basic("a", "b"));
        assert_eq!(find("quay.io", "team/x"), basic("team", "x"));
        assert_eq!(find("azure.example", "x"), Some(Credentials::identity("refresh")));
    }

    #[test]
    fn helpers_are_asked_for_what_the_file_lacks() {
        assert_eq!(find("gcr.example", "x"), Some(Credentials::identity("gcr.example")));
        let desktop = Some(Credentials::basic("desktop", "empty.example"));
        assert_eq!(find("empty.example", "x"), desktop);
        assert_eq!(find("none.example", "x"), None);
    }

    #[test]
    fn bad_files_say_what_is_wrong_and_nothing_secret() {
        let error = CredentialFile::parse(r#"{"auths": {"a": {"auth": "!!"}}}"#).unwrap_err();
        assert_eq!(error.to_string(), "invalid credentials file: a: auth is not base64");
        assert!(CredentialFile::parse("[").is_err());
        let shown = format!("{:?}", CredentialFile::parse(FILE).unwrap());
        assert!(!shown.contains("s:ecret") && shown.contains("quay.io"), "{shown}");
    }
}
