//! containers' `registries.conf`, version 2 (containers-registries.conf(5)).

use super::{Access, Config, Mirror, Rule, Serves};
use crate::error::{Error, Result};

#[derive(serde::Deserialize)]
struct Document {
    #[serde(default)]
    registry: Vec<Registry>,
    /// Version 1 tables, which are refused as containers' own tools do.
    registries: Option<toml::Table>,
}

#[derive(serde::Deserialize)]
struct Registry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror: Vec<Place>,
    #[serde(default, rename = "mirror-by-digest-only")]
    digests_only: bool,
}

#[derive(serde::Deserialize)]
struct Place {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default, rename = "pull-from-mirror")]
    serves: Option<String>,
}

impl Config {
    /// Adds what a `registries.conf` says. Unknown keys are ignored: it is others' file. So are
    /// aliases and registries to be searched: a name without a registry means `docker.io`, as it
    /// does to Docker.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is not TOML, is of version 1, or a `[[registry]]` has
    /// neither prefix nor location.
    pub fn add_registries_conf(&mut self, text: &str) -> Result<()> {
        let invalid = |reason| Error::Configuration { what: "registries.conf", reason };
        let document: Document =
            toml::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if document.registries.is_some() {
            return Err(invalid("version 1 of the format is not supported".to_owned()));
        }
        for registry in document.registry {
            let prefix = registry.prefix.clone().filter(|prefix| !prefix.is_empty());
            let prefix = prefix.or_else(|| registry.location.clone());
            let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
                return Err(invalid("a [[registry]] has neither prefix nor location".to_owned()));
            };
            self.add_rule(prefix.trim_end_matches('/').to_owned(), registry.into_rule());
        }
        Ok(())
    }
}

impl Registry {
    fn into_rule(self) -> Rule {
        let digests_only = self.digests_only;
        let mirrors = self.mirror.into_iter().map(|place| place.into_mirror(digests_only));
        Rule {
            location: self.location.map(|place| place.trim_end_matches('/').to_owned()),
            mirrors: mirrors.collect(),
            access: Access { insecure: self.insecure, ..Access::default() },
            blocked: self.blocked,
        }
    }
}

impl Place {
    fn into_mirror(self, digests_only: bool) -> Mirror {
        let mut mirror = Mirror::from_url(&self.location);
        mirror.access.insecure = self.insecure;
        mirror.serves = match self.serves.as_deref() {
            Some("digest-only") => Serves::Digests,
            Some("tag-only") => Serves::Tags,
            _ if digests_only => Serves::Digests,
            _ => Serves::Everything,
        };
        mirror
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    const TEXT: &str = r#"
        unqualified-search-registries = ["docker.io", "quay.io"]
        short-name-mode = "enforcing"

        [[registry]]
        prefix = "docker.io/library"
        location = "internal.example/base"
        [[registry.mirror]]
        location = "m1.example:5000"
        insecure = true
        [[registry.mirror]]
        location = "m2.example/deep"
        pull-from-mirror = "digest-only"

        [[registry]]
        location = "docker.io"
        blocked = true

        [[registry]]
        prefix = "*.corp.example"
        location = "proxy.example"

        [aliases]
        "fedora" = "registry.fedoraproject.org/fedora"
    "#;

    #[test]
    fn prefixes_locations_and_mirrors() {
        let mut config = Config::new();
        config.add_registries_conf(TEXT).unwrap();
        let endpoints = config.endpoints("docker.io", "library/x", false, None).unwrap();
        let places: Vec<_> =
            endpoints.iter().map(|one| (one.host.as_str(), one.repository.as_str())).collect();
        assert_eq!(places, [("m1.example:5000", "x"), ("internal.example", "base/x")]);
        assert!(endpoints[0].access.insecure);
        assert_eq!(config.endpoints("docker.io", "library/x", true, None).unwrap().len(), 3);
        assert_eq!(config.endpoints("docker.io", "other/x", false, None).unwrap_err(), "docker.io");
        let endpoints = config.endpoints("a.corp.example", "team/x", false, None).unwrap();
        assert_eq!((&*endpoints[0].host, &*endpoints[0].repository), ("proxy.example", "team/x"));
    }

    #[test]
    fn version_one_and_nameless_tables_are_refused() {
        let refused = |text| Config::new().add_registries_conf(text).unwrap_err().to_string();
        assert!(refused("[registries.search]\nregistries = []\n").contains("version 1"));
        assert!(refused("[[registry]]\ninsecure = true\n").contains("neither prefix"));
        assert!(refused("[[registry\n").starts_with("invalid registries.conf: "));
    }

    #[test]
    fn what_was_added_first_wins() {
        let mut config = Config::new().with_plain_http("docker.io/library");
        config.add_registries_conf(TEXT).unwrap();
        assert_eq!(config.endpoints("docker.io", "library/x", false, None).unwrap().len(), 1);
    }
}
