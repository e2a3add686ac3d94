//! Which endpoints serve which images, and how they are spoken to.
//!
//! Three languages say it: brig's own `[registries]` table ([`native`]), containers'
//! `registries.conf` ([`containers`]) and Docker's `daemon.json` ([`docker`]). Each parser takes
//! text and adds to one [`Config`]; what was added first wins, so that the caller parses the
//! stronger source first.
//!
//! ```text
//! image docker.io/library/x ─► rule with the longest matching prefix ─► mirrors in order ─► origin
//! ```

mod containers;
mod docker;
mod native;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use stdx::Secret;

use crate::credentials::Credentials;
use crate::retry::RetryPolicy;

/// The registry behind names without one.
pub(crate) const DEFAULT_REGISTRY: &str = "docker.io";
/// Where the default registry really answers.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";

/// Everything that decides how images are fetched.
#[derive(Debug, Clone, Default)]
pub struct Config {
    rules: BTreeMap<String, Rule>,
    insecure_networks: Vec<Network>,
    /// Tries and waits.
    pub retry: RetryPolicy,
    /// Limits on silence.
    pub timeouts: Timeouts,
    /// Proxies to go through, none by default.
    pub proxy: Proxy,
}

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, name resolution and TLS included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub read: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(15), read: Duration::from_secs(60) }
    }
}

/// Proxies, as the usual variables state them; read by the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For plain HTTP.
    pub http: Option<String>,
    /// For HTTPS.
    pub https: Option<String>,
    /// Hosts reached directly, comma separated.
    pub no_proxy: Option<String>,
}

/// What applies to images whose name begins with a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What replaces the prefix, when the images live elsewhere.
    pub(crate) location: Option<String>,
    /// Asked before the origin, in this order.
    pub(crate) mirrors: Vec<Mirror>,
    /// How the origin is spoken to.
    pub(crate) access: Access,
    /// Nothing may be pulled from here.
    pub(crate) blocked: bool,
}

/// Another place for the same images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// Host, port and a path prefix.
    pub(crate) location: String,
    /// How it is spoken to.
    pub(crate) access: Access,
    /// Who we are to it.
    pub(crate) credentials: Option<Credentials>,
    /// Which references it is asked for.
    pub(crate) serves: Serves,
}

/// Which references a mirror is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Serves {
    /// Any.
    #[default]
    Everything,
    /// Only those by digest, whose content cannot be stale.
    Digests,
    /// Only those by tag.
    Tags,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Access {
    /// Only ever plain HTTP.
    pub(crate) plain_http: bool,
    /// Certificates are not verified, and plain HTTP is tried when TLS fails.
    pub(crate) insecure: bool,
    /// A certificate authority trusted besides the system's.
    pub(crate) certificate_authority: Option<PathBuf>,
}

/// One place to ask for one repository, all choices made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port.
    pub(crate) host: String,
    /// The repository's path there.
    pub(crate) repository: String,
    /// How it is spoken to.
    pub(crate) access: Access,
    /// Who we are to it.
    pub(crate) credentials: Option<Credentials>,
    /// Not the origin.
    pub(crate) mirror: bool,
}

impl Config {
    /// A configuration without mirrors: every registry by HTTPS, this host's by plain HTTP too.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a registry (`host:port`) be reached by plain HTTP only.
    #[must_use]
    pub fn with_plain_http(mut self, registry: &str) -> Self {
        self.rules.entry(registry.to_owned()).or_default().access.plain_http = true;
        self
    }

    /// Asks a mirror (`[http://|https://]host:port[/path]`) before a registry.
    #[must_use]
    pub fn with_mirror(mut self, registry: &str, mirror: &str) -> Self {
        let mirror = Mirror::from_url(mirror);
        self.rules.entry(registry.to_owned()).or_default().mirrors.push(mirror);
        self
    }

    /// Trusts a certificate authority (a PEM file) for a registry besides the system's.
    #[must_use]
    pub fn with_certificate_authority(mut self, registry: &str, path: PathBuf) -> Self {
        let access = &mut self.rules.entry(registry.to_owned()).or_default().access;
        access.certificate_authority = Some(path);
        self
    }

    /// Adds a rule unless one for the prefix exists; mirrors of a later source are not mixed in.
    fn add_rule(&mut self, prefix: String, rule: Rule) {
        self.rules.entry(prefix).or_insert(rule);
    }

    /// Where to ask for `registry/repository`, in order; an error text's prefix when blocked.
    pub(crate) fn endpoints(
        &self,
        registry: &str,
        repository: &str,
        by_digest: bool,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Endpoint>, String> {
        let name = format!("{registry}/{repository}");
        let matched = self.longest_match(&name);
        if let Some((prefix, Rule { blocked: true, .. })) = matched {
            return Err(prefix.to_owned());
        }
        let mut endpoints = Vec::new();
        let mut origin = name.clone();
        let mut access = Access::default();
        if let Some((prefix, rule)) = matched {
            let rest = name.strip_prefix(prefix).unwrap_or_default();
            for mirror in rule.mirrors.iter().filter(|mirror| mirror.serves.allows(by_digest)) {
                let access = mirror.access.clone();
                let credentials = mirror.credentials.clone();
                let located = format!("{}{rest}", mirror.location);
                endpoints.extend(self.endpoint(&located, access, credentials, true));
            }
            if let Some(location) = &rule.location {
                origin = format!("{location}{rest}");
            }
            access = rule.access.clone();
        }
        // They were given for the registry in the name, and nobody else.
        let elsewhere = origin.split('/').next() != Some(registry);
        let credentials = credentials.filter(|_| !elsewhere).cloned();
        endpoints.extend(self.endpoint(&origin, access, credentials, false));
        Ok(endpoints)
    }

    /// How a host is spoken to that is not an image's endpoint: a redirection's or a token
    /// server's.
    pub(crate) fn access_to(&self, host: &str) -> Access {
        let mut access = self.rules.get(host).map(|rule| rule.access.clone()).unwrap_or_default();
        access.insecure |= self.is_insecure(host);
        access
    }

    fn longest_match<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a Rule)> {
        let matching = self.rules.iter().filter(|(prefix, _)| prefix_matches(prefix, name));
        let (prefix, rule) = matching.max_by_key(|(prefix, _)| prefix.len())?;
        Some((concrete_prefix(prefix, name), rule))
    }

    fn endpoint(
        &self,
        name: &str,
        mut access: Access,
        credentials: Option<Credentials>,
        mirror: bool,
    ) -> Option<Endpoint> {
        let (host, repository) = name.split_once('/')?;
        access.insecure |= self.is_insecure(host);
        if mirror && access.certificate_authority.is_none() {
            access.certificate_authority =
                self.rules.get(host).and_then(|rule| rule.access.certificate_authority.clone());
        }
        let host = if host == DEFAULT_REGISTRY { DEFAULT_REGISTRY_HOST } else { host };
        let (host, repository) = (host.to_owned(), repository.to_owned());
        Some(Endpoint { host, repository, access, credentials, mirror })
    }

    fn is_insecure(&self, host: &str) -> bool {
        let (name, _) = split_port(host);
        if name == "localhost" {
            return true;
        }
        let Ok(address) = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>() else {
            return false;
        };
        let address = address.to_canonical();
        address.is_loopback() && address.is_ipv4()
            || self.insecure_networks.iter().any(|network| network.contains(address))
    }
}

impl Mirror {
    /// A mirror from a URL or `host[:port][/path]`.
    fn from_url(url: &str) -> Self {
        let plain = url.strip_prefix("http://");
        let location = plain.or_else(|| url.strip_prefix("https://")).unwrap_or(url);
        let access = Access { plain_http: plain.is_some(), ..Access::default() };
        let location = location.trim_end_matches('/').to_owned();
        Self { location, access, credentials: None, serves: Serves::Everything }
    }

    fn with_credentials(mut self, username: Option<String>, password: Option<String>) -> Self {
        if let (Some(username), Some(password)) = (username, password) {
            let password = Secret::new(password);
            self.credentials = Some(Credentials::Basic { username, password });
        }
        self
    }
}

impl Serves {
    const fn allows(self, by_digest: bool) -> bool {
        match self {
            Self::Everything => true,
            Self::Digests => by_digest,
            Self::Tags => !by_digest,
        }
    }
}

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: std::net::IpAddr,
    prefix: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: std::net::IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    fn contains(self, other: std::net::IpAddr) -> bool {
        use std::net::IpAddr;
        match (self.address, other) {
            (IpAddr::V4(network), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                let difference = network.to_bits() ^ other.to_bits();
                difference.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                let difference = network.to_bits() ^ other.to_bits();
                difference.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// `host:port` → host, port.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Whether a rule's prefix (`host`, `host/path`, `*.domain`) covers a name, at a boundary.
fn prefix_matches(prefix: &str, name: &str) -> bool {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = name.split('/').next().unwrap_or_default();
        return host.len() > domain.len() && split_port(host).0.ends_with(domain);
    }
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The part of the name that the rule's prefix stands for.
fn concrete_prefix<'a>(prefix: &'a str, name: &'a str) -> &'a str {
    if prefix.starts_with('*') { name.split('/').next().unwrap_or(name) } else { prefix }
}

#[cfg(test)]
mod tests {
    use super::{Access, Config, Network};
    use crate::credentials::Credentials;

    fn places(config: &Config, registry: &str, repository: &str) -> Vec<String> {
        let endpoints = config.endpoints(registry, repository, false, None).unwrap();
        endpoints.iter().map(|one| format!("{}/{}", one.host, one.repository)).collect()
    }

    #[test]
    fn mirrors_come_before_the_origin() {
        let config = Config::new()
            .with_mirror("docker.io", "http://127.0.0.1:5000")
            .with_mirror("docker.io", "https://cache.example/hub/");
        let expected = [
            "127.0.0.1:5000/library/x",
            "cache.example/hub/library/x",
            "registry-1.docker.io/library/x",
        ];
        assert_eq!(places(&config, "docker.io", "library/x"), expected);
        assert_eq!(places(&config, "quay.io", "a/x"), ["quay.io/a/x"]);
    }

    #[test]
    fn only_the_origin_gets_the_users_credentials() {
        let config = Config::new().with_mirror("docker.io", "cache.example");
        let credentials = Credentials::basic("a", "b");
        let endpoints = config.endpoints("docker.io", "library/x", false, Some(&credentials));
        let endpoints = endpoints.unwrap();
        assert_eq!(endpoints[0].credentials, None);
        assert!(endpoints[0].mirror);
        assert_eq!(endpoints[1].credentials, Some(credentials));
    }

    #[test]
    fn a_relocated_registry_does_not_get_the_users_credentials() {
        let mut config = Config::new();
        let text = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"other.example/hub\"\n\
                    [[registry]]\nprefix = \"quay.io/a\"\nlocation = \"quay.io/b\"\n";
        config.add_registries_conf(text).unwrap();
        let credentials = Credentials::basic("a", "b");
        let given = |registry| {
            let endpoints = config.endpoints(registry, "a/x", false, Some(&credentials));
            let mut endpoints = endpoints.unwrap();
            endpoints.pop().map(|one| (one.host, one.credentials.is_some())).unwrap()
        };
        assert_eq!(given("docker.io"), ("other.example".to_owned(), false));
        assert_eq!(given("quay.io"), ("quay.io".to_owned(), true));
        assert_eq!(given("ghcr.io"), ("ghcr.io".to_owned(), true));
    }

    #[test]
    fn this_host_may_speak_plain_http() {
        let config = Config::new();
        for (host, insecure) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            assert_eq!(config.access_to(host).insecure, insecure, "{host}");
            assert_eq!(config.access_to(host), Access { insecure, ..Access::default() });
        }
    }

    #[test]
    fn networks_contain_their_addresses() {
        let network = Network::parse("10.1.0.0/16").unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("fd00::/8").unwrap().contains("fd12::1".parse().unwrap()));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }
}
