//! Docker's `daemon.json`: `registry-mirrors` (of the default registry only) and
//! `insecure-registries` (hosts and networks).

use super::{Access, Config, DEFAULT_REGISTRY, Mirror, Network};
use crate::error::{Error, Result};

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Document {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

impl Config {
    /// Adds what a `daemon.json` says of registries; everything else in it is ignored.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is not JSON of that shape.
    pub fn add_daemon_json(&mut self, text: &str) -> Result<()> {
        let document: Document = serde_json::from_str(text).map_err(|error| {
            Error::Configuration { what: "daemon.json", reason: error.to_string() }
        })?;
        let known = self.rules.get(DEFAULT_REGISTRY).is_some_and(|rule| !rule.mirrors.is_empty());
        if !known && !document.registry_mirrors.is_empty() {
            let mirrors = document.registry_mirrors.iter().map(|url| Mirror::from_url(url));
            let rule = self.rules.entry(DEFAULT_REGISTRY.to_owned()).or_default();
            rule.mirrors = mirrors.collect();
        }
        for place in document.insecure_registries {
            if let Some(network) = Network::parse(&place) {
                self.insecure_networks.push(network);
                continue;
            }
            let place = place.trim_start_matches("http://").trim_start_matches("https://");
            let rule = self.rules.entry(place.trim_end_matches('/').to_owned()).or_default();
            if rule.access == Access::default() {
                rule.access.insecure = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn mirrors_of_the_default_registry_and_insecure_places() {
        let text = r#"{"registry-mirrors": ["http://10.0.0.1:5000/"], "debug": true,
            "insecure-registries": ["10.0.0.0/8", "my.example:5000", "http://odd.example/"]}"#;
        let mut config = Config::new();
        config.add_daemon_json(text).unwrap();
        let endpoints = config.endpoints("docker.io", "library/x", false, None).unwrap();
        assert_eq!(endpoints[0].host, "10.0.0.1:5000");
        assert!(endpoints[0].access.plain_http && endpoints[0].access.insecure);
        for (host, insecure) in [("my.example:5000", true), ("odd.example", true), ("x.y", false)] {
            let endpoints = config.endpoints(host, "x", false, None).unwrap();
            assert_eq!(endpoints[0].access.insecure, insecure, "{host}");
        }
    }

    #[test]
    fn an_earlier_sources_mirrors_stay() {
        let mut config = Config::new().with_mirror("docker.io", "first.example");
        config.add_daemon_json(r#"{"registry-mirrors": ["https://second.example"]}"#).unwrap();
        let endpoints = config.endpoints("docker.io", "library/x", false, None).unwrap();
        assert_eq!(endpoints.len(), 2);
        assert_eq!(endpoints[0].host, "first.example");
        assert!(config.add_daemon_json("{").is_err());
    }
}
