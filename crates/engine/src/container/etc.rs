//! The text of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container: pure.

use std::fmt::Write;
use std::net::IpAddr;

use super::options::NetworkOptions;
use super::validate::extra_host;
use crate::error::{Error, Result};

const LOCAL: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::0\tip6-localnet\n\
    ff00::0\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// Who the container is on its network.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Names<'a> {
    /// Its host name.
    pub(crate) hostname: &'a str,
    /// Its domain, or empty.
    pub(crate) domain: &'a str,
}

/// `/etc/hosts` of a container with addresses of its own (or none).
///
/// # Errors
/// `Invalid` for an entry that is none; `host-gateway` needs a gateway.
pub(crate) fn hosts(
    names: Names<'_>,
    addresses: &[IpAddr],
    gateway: Option<IpAddr>,
    extra: &[String],
) -> Result<String> {
    let mut text = LOCAL.to_owned();
    for address in addresses {
        let _infallible = match names.domain {
            "" => writeln!(text, "{address}\t{}", names.hostname),
            domain => writeln!(text, "{address}\t{0}.{domain} {0}", names.hostname),
        };
    }
    add_extra(&mut text, gateway, extra)?;
    Ok(text)
}

/// `/etc/hosts` of a container on the host's network: the host's own, and what was added.
///
/// # Errors
/// As [`hosts`].
pub(crate) fn hosts_of_host(host: &str, extra: &[String]) -> Result<String> {
    let mut text = host.to_owned();
    if !text.ends_with('\n') && !text.is_empty() {
        text.push('\n');
    }
    add_extra(&mut text, Some(IpAddr::from([127, 0, 0, 1])), extra)?;
    Ok(text)
}

fn add_extra(text: &mut String, gateway: Option<IpAddr>, extra: &[String]) -> Result<()> {
    for entry in extra {
        let (name, address) = extra_host(entry)?;
        let _infallible = match (address, gateway) {
            ("host-gateway", Some(gateway)) => writeln!(text, "{gateway}\t{name}"),
            ("host-gateway", None) => {
                return Err(Error::Invalid(
                    "unable to derive the IP value for host-gateway: the container's network has \
                     no gateway"
                        .to_owned(),
                ));
            }
            _ => writeln!(text, "{address}\t{name}"),
        };
    }
    Ok(())
}

/// `/etc/resolv.conf`. `service` are the addresses of the network's name service, which asks the
/// servers given by hand itself; without one those servers, or else the host's, are named.
pub(crate) fn resolv_conf(host: &str, options: &NetworkOptions, service: &[IpAddr]) -> String {
    let mut servers: Vec<String> = service.iter().map(ToString::to_string).collect();
    if servers.is_empty() {
        servers = options.dns.iter().map(ToString::to_string).collect();
    }
    if servers.is_empty() {
        servers = values(host, "nameserver");
    }
    let search = match options.dns_search.as_slice() {
        [] => values(host, "search").pop().map(|last| vec![last]).unwrap_or_default(),
        // A dot asks for no search at all.
        given => {
            given.iter().filter(|domain| !matches!(domain.as_str(), "" | ".")).cloned().collect()
        }
    };
    let mut flags = match options.dns_options.as_slice() {
        [] => values(host, "options"),
        given => given.to_vec(),
    };
    let has_dots = flags.iter().any(|flags| flags.split(' ').any(|one| one.starts_with("ndots:")));
    if !service.is_empty() && !has_dots {
        // A container's name is tried as it is before a search domain gets to answer for it.
        flags.push("ndots:0".to_owned());
    }
    let mut text = String::new();
    for server in servers {
        let _infallible = writeln!(text, "nameserver {server}");
    }
    for (key, words) in [("search", search), ("options", flags)] {
        if !words.is_empty() {
            let _infallible = writeln!(text, "{key} {}", words.join(" "));
        }
    }
    text
}

/// What follows a keyword, one entry per line.
fn values(resolv_conf: &str, keyword: &str) -> Vec<String> {
    let line = |line: &str| {
        let rest = line.trim().strip_prefix(keyword)?;
        let rest = rest.strip_prefix([' ', '\t'])?;
        let rest = rest.split(['#', ';']).next().unwrap_or_default().trim();
        (!rest.is_empty()).then(|| rest.split_whitespace().collect::<Vec<&str>>().join(" "))
    };
    resolv_conf.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::options::NetworkOptions;
    use super::{Names, hosts, hosts_of_host, resolv_conf};

    const HOST: &str = "# a comment\nnameserver 10.0.0.2\nnameserver\tfe80::2%eth0\n\
        search old.test\nsearch corp.test  lab.test\noptions edns0 ndots:2\n";

    #[test]
    fn hosts_file() {
        let gateway: IpAddr = "172.17.0.1".parse().unwrap();
        let own: IpAddr = "172.17.0.2".parse().unwrap();
        let names = Names { hostname: "web", domain: "lab.test" };
        let extra = ["db:10.1.1.1".to_owned(), "up:host-gateway".to_owned()];
        let text = hosts(names, &[own], Some(gateway), &extra).unwrap();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\t"));
        assert!(text.ends_with("172.17.0.2\tweb.lab.test web\n10.1.1.1\tdb\n172.17.0.1\tup\n"));
        assert!(hosts(names, &[], None, &extra).is_err());
        assert_eq!(hosts_of_host("1.1.1.1 x", &extra[..1]).unwrap(), "1.1.1.1 x\n10.1.1.1\tdb\n");
    }

    #[test]
    fn resolver_file() {
        let service: IpAddr = "172.17.0.1".parse().unwrap();
        let mut options = NetworkOptions::default();
        assert_eq!(
            resolv_conf(HOST, &options, &[service]),
            "nameserver 172.17.0.1\nsearch corp.test lab.test\noptions edns0 ndots:2\n"
        );
        assert_eq!(
            resolv_conf("options rotate", &options, &[service]),
            "nameserver 172.17.0.1\noptions rotate ndots:0\n"
        );
        assert_eq!(resolv_conf("", &options, &[]), "");
        options.dns = vec!["9.9.9.9".parse().unwrap()];
        options.dns_search = vec![".".to_owned()];
        options.dns_options = vec!["ndots:5".to_owned()];
        assert_eq!(resolv_conf(HOST, &options, &[]), "nameserver 9.9.9.9\noptions ndots:5\n");
        options.dns_search = vec![String::new()];
        assert_eq!(resolv_conf(HOST, &options, &[]), "nameserver 9.9.9.9\noptions ndots:5\n");
        options.dns.clear();
        assert!(
            resolv_conf(HOST, &options, &[])
                .starts_with("nameserver 10.0.0.2\nnameserver fe80::2%eth0\n")
        );
        assert!(
            resolv_conf(HOST, &options, &[service]).starts_with("nameserver 172.17.0.1\noptions")
        );
    }
}
