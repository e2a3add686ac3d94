//! `--network name` or `--network name=…,alias=…,ip=…`, and `--add-host`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use docker_api::network::{EndpointIpam, EndpointSettings};

use super::value;

/// A network to be attached to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attachment {
    /// Name, id or mode (`host`, `none`, `container:…`).
    pub(super) network: String,
    /// What was asked for beyond the name.
    pub(super) settings: EndpointSettings,
}

/// Reads `--network`.
pub(super) fn parse(text: &str) -> Result<Attachment, String> {
    if !text.contains('=') {
        return Ok(Attachment { network: text.to_owned(), ..Attachment::default() });
    }
    let mut attachment = Attachment::default();
    let settings = &mut attachment.settings;
    let mut ipam = EndpointIpam::default();
    for field in super::csv(text) {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => attachment.network = value.to_owned(),
            "alias" => settings.aliases.push(value.to_owned()),
            "ip" => ipam.ipv4_address = address(value)?,
            "ip6" => ipam.ipv6_address = address(value)?,
            "link-local-ip" => ipam.link_local_ips.push(address(value)?),
            "mac-address" => settings.mac_address = value::mac_address(value)?,
            "driver-opt" => {
                let (name, value) = value
                    .split_once('=')
                    .ok_or("invalid key value pair format in driver options")?;
                settings.driver_opts.insert(name.to_owned(), value.to_owned());
            }
            "gw-priority" => {
                settings.gw_priority = value
                    .parse()
                    .map_err(|_| format!("invalid gw-priority ({value}): not an integer"))?;
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    if attachment.network.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    if ipam != EndpointIpam::default() {
        attachment.settings.ipam_config = Some(ipam);
    }
    Ok(attachment)
}

fn address(text: &str) -> Result<String, String> {
    text.parse::<IpAddr>()
        .map(|address| address.to_string())
        .map_err(|_| format!("invalid IP address: {text}"))
}

/// Reads `--add-host name:address` (or `name=address`); the form with a colon is sent.
pub(super) fn extra_host(text: &str) -> Result<String, String> {
    let wrong = || format!("bad format for add-host: {text:?}");
    let (name, target) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(wrong)?;
    if name.is_empty() || target.is_empty() {
        return Err(wrong());
    }
    if target == "host-gateway" {
        return Ok(format!("{name}:{target}"));
    }
    let bare = target.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(target);
    bare.parse::<IpAddr>().map_err(|_| format!("invalid IP address in add-host: {target:?}"))?;
    Ok(format!("{name}:{bare}"))
}

/// What all networks together mean: the mode and the attachments by network.
pub(super) type Networking = (String, BTreeMap<String, Option<EndpointSettings>>);

/// Combines `--network` with the options that belong to the first network.
///
/// # Errors
/// When an option is given twice, or a mode without attachments has some.
pub(super) fn combine(
    attachments: &[Attachment],
    first: &EndpointSettings,
) -> Result<Networking, String> {
    let nothing = EndpointSettings::default();
    let mut endpoints = BTreeMap::new();
    let mode = attachments.first().map_or("default", |attachment| &attachment.network).to_owned();
    if attachments.len() > 1
        && let Some(single) = attachments.iter().find(|one| is_mode(&one.network))
    {
        return Err(format!(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes ({})",
            single.network
        ));
    }
    let mut attachments = attachments.to_vec();
    if attachments.is_empty() && *first != nothing {
        attachments.push(Attachment { network: mode.clone(), ..Attachment::default() });
    }
    for (position, attachment) in attachments.into_iter().enumerate() {
        let mut settings = attachment.settings;
        if position == 0 {
            merge(&mut settings, first)?;
        }
        let wanted = settings != nothing || !is_mode(&attachment.network);
        if wanted && endpoints.insert(attachment.network.clone(), Some(settings)).is_some() {
            return Err(format!("network {:?} is specified multiple times", attachment.network));
        }
    }
    Ok((mode, endpoints))
}

/// Networks that are ways of living rather than networks of their own.
fn is_mode(network: &str) -> bool {
    matches!(network, "" | "default" | "bridge" | "host" | "none")
        || network.starts_with("container:")
}

fn merge(settings: &mut EndpointSettings, first: &EndpointSettings) -> Result<(), String> {
    let twice = |option: &str| {
        format!("conflicting options: cannot specify both --{option} and per-network {option}")
    };
    if !first.aliases.is_empty() {
        if !settings.aliases.is_empty() {
            return Err(twice("network-alias"));
        }
        settings.aliases.clone_from(&first.aliases);
    }
    if let Some(ipam) = &first.ipam_config {
        if settings.ipam_config.is_some() {
            return Err(twice("ip"));
        }
        settings.ipam_config = Some(ipam.clone());
    }
    if !first.mac_address.is_empty() {
        if !settings.mac_address.is_empty() {
            return Err(twice("mac-address"));
        }
        settings.mac_address.clone_from(&first.mac_address);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use docker_api::network::EndpointSettings;

    use super::{combine, extra_host, parse};

    #[test]
    fn networks_are_read() {
        assert_eq!(parse("host").unwrap().network, "host");
        let attachment = parse("name=n,alias=a,alias=b,ip=10.0.0.2,gw-priority=5").unwrap();
        assert_eq!(attachment.network, "n");
        assert_eq!(attachment.settings.aliases, ["a", "b"]);
        assert_eq!(attachment.settings.gw_priority, 5);
        assert_eq!(attachment.settings.ipam_config.unwrap().ipv4_address, "10.0.0.2");
        for text in ["alias=a", "name=n,x=y", "name=n,ip=x", "name=n,mac-address=1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_combined() {
        let aliases = EndpointSettings { aliases: vec!["a".to_owned()], ..Default::default() };
        let (mode, endpoints) = combine(&[], &EndpointSettings::default()).unwrap();
        assert_eq!((mode.as_str(), endpoints.len()), ("default", 0));
        let (mode, endpoints) = combine(&[parse("host").unwrap()], &Default::default()).unwrap();
        assert_eq!((mode.as_str(), endpoints.len()), ("host", 0));
        let both = [parse("n").unwrap(), parse("m").unwrap()];
        let (mode, endpoints) = combine(&both, &aliases).unwrap();
        assert_eq!((mode.as_str(), endpoints.len()), ("n", 2));
        assert_eq!(endpoints["n"].as_ref().unwrap().aliases, ["a"]);
        assert!(combine(&[parse("n").unwrap(), parse("host").unwrap()], &aliases).is_err());
        assert!(combine(&[parse("n").unwrap(), parse("n").unwrap()], &aliases).is_err());
        assert!(combine(&[parse("name=n,alias=b").unwrap()], &aliases).is_err());
    }

    #[test]
    fn hosts_are_read() {
        assert_eq!(extra_host("a:10.0.0.1").unwrap(), "a:10.0.0.1");
        assert_eq!(extra_host("a=::1").unwrap(), "a:::1");
        assert_eq!(extra_host("a:[::1]").unwrap(), "a:::1");
        assert_eq!(extra_host("a:host-gateway").unwrap(), "a:host-gateway");
        for text in ["a", "a:", ":1.2.3.4", "a:b"] {
            assert!(extra_host(text).is_err(), "{text}");
        }
    }
}
