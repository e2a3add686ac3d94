//! Published and exposed ports: `[[address:]host:]container[/protocol]`, each a port or a range.

use std::net::IpAddr;

/// One port of the container and where on the host it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortWish {
    /// `80/tcp`.
    pub(super) container: String,
    /// Address on the host, empty for all.
    pub(super) address: String,
    /// Port on the host, a range of which any will do, or empty for any at all.
    pub(super) host: String,
}

/// Reads `--publish`.
pub(super) fn published(text: &str) -> Result<Vec<PortWish>, String> {
    if text.contains('=') {
        return long_form(text);
    }
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = check_protocol(protocol)?;
    let (address, host, container) =
        split(ports).ok_or_else(|| format!("invalid format for the ports: {text}"))?;
    let address = check_address(address)?;
    combine(&address, host, container, protocol)
}

fn long_form(text: &str) -> Result<Vec<PortWish>, String> {
    let (mut target, mut published, mut address) = (String::new(), String::new(), String::new());
    let mut protocol = "tcp".to_owned();
    for field in super::csv(text) {
        let (key, value) = field.split_once('=').ok_or_else(|| {
            format!("invalid publish opts format (should be name=value but got '{field}')")
        })?;
        match key {
            "target" => value.clone_into(&mut target),
            "published" => value.clone_into(&mut published),
            "protocol" => value.clone_into(&mut protocol),
            "host_ip" => value.clone_into(&mut address),
            "mode" if value == "ingress" || value == "host" => {}
            "mode" => return Err(format!("invalid publish mode value ({value})")),
            _ => return Err(format!("invalid port key: {key}")),
        }
    }
    if target.is_empty() {
        return Err("missing mandatory field 'target'".to_owned());
    }
    combine(&check_address(&address)?, &published, &target, check_protocol(&protocol)?)
}

/// `address`, `host`, `container`; an IPv6 address stands in brackets.
fn split(ports: &str) -> Option<(&str, &str, &str)> {
    if let Some(rest) = ports.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let (host, container) = rest.strip_prefix(':')?.split_once(':')?;
        return Some((address, host, container));
    }
    let parts: Vec<&str> = ports.split(':').collect();
    match parts.as_slice() {
        [container] => Some(("", "", container)),
        [host, container] => Some(("", host, container)),
        [address, host, container] => Some((address, host, container)),
        // An IPv6 address without brackets.
        [.., host, container] => {
            let length = ports.len().checked_sub(host.len() + container.len() + 2)?;
            Some((ports.get(..length)?, host, container))
        }
        [] => None,
    }
}

fn check_address(address: &str) -> Result<String, String> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        Ok(bare.to_owned())
    } else {
        Err(format!("invalid IP address: {address}"))
    }
}

fn check_protocol(protocol: &str) -> Result<&'static str, String> {
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Ok("tcp"),
        "udp" => Ok("udp"),
        "sctp" => Ok("sctp"),
        _ => Err(format!("invalid proto: {protocol}")),
    }
}

fn combine(
    address: &str,
    host: &str,
    container: &str,
    protocol: &str,
) -> Result<Vec<PortWish>, String> {
    if container.is_empty() {
        return Err("no port specified: <empty>".to_owned());
    }
    let (first, last) =
        range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    if first == 0 {
        return Err(format!("invalid containerPort: {container}"));
    }
    let wish = |port: u16, host: String| PortWish {
        container: format!("{port}/{protocol}"),
        address: address.to_owned(),
        host,
    };
    if host.is_empty() {
        return Ok((first..=last).map(|port| wish(port, String::new())).collect());
    }
    let (host_first, host_last) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
    if first == last && host_first != host_last {
        return Ok(vec![wish(first, host.to_owned())]);
    }
    if last - first != host_last - host_first {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        ));
    }
    let hosts = host_first..=host_last;
    Ok((first..=last).zip(hosts).map(|(port, host)| wish(port, host.to_string())).collect())
}

/// `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// Reads `--expose`.
pub(super) fn exposed(text: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = check_protocol(protocol)?;
    let (first, last) = range(ports)
        .filter(|_| !ports.contains(':'))
        .ok_or_else(|| format!("invalid range format for --expose: {text}"))?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::{exposed, published};

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let wishes = published(text).unwrap();
        let wishes: Vec<_> =
            wishes.iter().map(|w| (&*w.address, &*w.host, &*w.container)).collect();
        assert_eq!(wishes, expected, "{text}");
    }

    #[test]
    fn ports_are_read() {
        check("80", &[("", "", "80/tcp")]);
        check("8080:80", &[("", "8080", "80/tcp")]);
        check("8080:80/UDP", &[("", "8080", "80/udp")]);
        check("127.0.0.1:8080:80", &[("127.0.0.1", "8080", "80/tcp")]);
        check("127.0.0.1::80", &[("127.0.0.1", "", "80/tcp")]);
        check("[::1]:8080:80", &[("::1", "8080", "80/tcp")]);
        check("::1:8080:80", &[("::1", "8080", "80/tcp")]);
        check("0:80", &[("", "0", "80/tcp")]);
        check("8000-8001:80-81", &[("", "8000", "80/tcp"), ("", "8001", "81/tcp")]);
        check("8000-8010:80", &[("", "8000-8010", "80/tcp")]);
        check("80-81", &[("", "", "80/tcp"), ("", "", "81/tcp")]);
        check("target=80,published=8080,protocol=udp", &[("", "8080", "80/udp")]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "x",
            "80:x",
            "x:80",
            "8080:",
            "70000:80",
            "80/xyz",
            "host:80:80",
            "90-80:1",
            "8000-8005:80-81",
            "published=80",
            "target=80,color=red",
            "0",
            "1:2:3:4:5:6:7:8:9:10:11",
        ] {
            assert!(published(text).is_err(), "{text}");
        }
    }

    #[test]
    fn exposed_ports_are_read() {
        assert_eq!(exposed("80").unwrap(), ["80/tcp"]);
        assert_eq!(exposed("80-81/udp").unwrap(), ["80/udp", "81/udp"]);
        assert!(exposed("1:2").is_err());
    }
}
