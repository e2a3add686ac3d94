//! brig's own language: the `[registries]` table of `config.toml`.
//!
//! ```toml
//! [registries."docker.io"]
//! mirrors = ["http://127.0.0.1:5000", { location = "cache.example/hub", username = "a", password = "b", ca = "/etc/ca.pem" }]
//!
//! [registries."registry.example:5000"]
//! plain_http = true           # or: insecure = true, ca = "/etc/ca.pem", blocked = true,
//! location = "other.example"  #     the images really are there
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Config, Mirror, Rule, Serves};
use crate::error::{Error, Result};

#[derive(serde::Deserialize)]
struct Document {
    #[serde(default)]
    registries: BTreeMap<String, Registry>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Registry {
    location: Option<String>,
    mirrors: Vec<Place>,
    plain_http: bool,
    insecure: bool,
    ca: Option<PathBuf>,
    blocked: bool,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Place {
    Url(String),
    Table(Table),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    location: String,
    #[serde(default)]
    plain_http: bool,
    #[serde(default)]
    insecure: bool,
    ca: Option<PathBuf>,
    username: Option<String>,
    password: Option<String>,
    #[serde(default)]
    serves: Kind,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Everything,
    Digests,
    Tags,
}

impl Config {
    /// Adds the `[registries]` table of brig's `config.toml`; other tables are not looked at.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the text is not TOML, or the table has an unknown key.
    pub fn add_native(&mut self, text: &str) -> Result<()> {
        let document: Document = toml::from_str(text).map_err(|error| Error::Configuration {
            what: "[registries] in config.toml",
            reason: error.to_string(),
        })?;
        for (prefix, registry) in document.registries {
            self.add_rule(prefix, registry.into_rule());
        }
        Ok(())
    }
}

impl Registry {
    fn into_rule(self) -> Rule {
        let mut rule = Rule { location: self.location, blocked: self.blocked, ..Rule::default() };
        rule.mirrors = self.mirrors.into_iter().map(Place::into_mirror).collect();
        rule.access.plain_http = self.plain_http;
        rule.access.insecure = self.insecure;
        rule.access.certificate_authority = self.ca;
        rule
    }
}

impl Place {
    fn into_mirror(self) -> Mirror {
        match self {
            Self::Url(url) => Mirror::from_url(&url),
            Self::Table(table) => {
                let mut mirror = Mirror::from_url(&table.location);
                mirror.access.plain_http |= table.plain_http;
                mirror.access.insecure = table.insecure;
                mirror.access.certificate_authority = table.ca;
                mirror.serves = match table.serves {
                    Kind::Everything => Serves::Everything,
                    Kind::Digests => Serves::Digests,
                    Kind::Tags => Serves::Tags,
                };
                mirror.with_credentials(table.username, table.password)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use crate::credentials::Credentials;

    #[test]
    fn every_key_of_the_table() {
        let text = r#"
            [daemon]
            other = true
            [registries."docker.io"]
            mirrors = ["http://127.0.0.1:5000", { location = "cache.example/hub", username = "a", password = "b", ca = "/ca.pem", serves = "digests" }]
            [registries."old.example"]
            location = "new.example/old"
            insecure = true
            [registries."bad.example"]
            blocked = true
        "#;
        let mut config = Config::new();
        config.add_native(text).unwrap();
        let endpoints = config.endpoints("docker.io", "library/x", true, None).unwrap();
        assert!(endpoints[0].access.plain_http);
        assert_eq!(endpoints[1].host, "cache.example");
        assert_eq!(endpoints[1].repository, "hub/library/x");
        assert_eq!(endpoints[1].credentials, Some(Credentials::basic("a", "b")));
        assert_eq!(config.endpoints("docker.io", "library/x", false, None).unwrap().len(), 2);
        let endpoints = config.endpoints("old.example", "x", false, None).unwrap();
        assert_eq!(endpoints[0].host, "new.example");
        assert_eq!(endpoints[0].repository, "old/x");
        assert!(endpoints[0].access.insecure);
        let blocked = config.endpoints("bad.example", "x", false, None).unwrap_err();
        assert_eq!(blocked, "bad.example");
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = Config::new().add_native("[registries.x]\nmirror = 1\n").unwrap_err();
        assert!(error.to_string().contains("mirror"), "{error}");
    }
}
