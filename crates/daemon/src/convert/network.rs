//! A container's attachments to networks.

use std::collections::BTreeMap;

use docker_api::container::{NetworkSettings, PortBinding, PortMap};
use docker_api::network::{EndpointIpam, EndpointSettings};
use engine::container::{NetworkAttachment, NetworkOptions, PortMapping};

/// Attachments by the network's name; `wished` adds the addresses that were asked for.
pub(super) fn endpoints(
    attachments: &[NetworkAttachment],
    wished: Option<&NetworkOptions>,
) -> BTreeMap<String, EndpointSettings> {
    let endpoints = attachments.iter();
    endpoints.map(|one| (one.network.clone(), endpoint(one, wished))).collect()
}

fn endpoint(attachment: &NetworkAttachment, wished: Option<&NetworkOptions>) -> EndpointSettings {
    let (ip_address, ip_prefix_len) = address(attachment.ipv4);
    let (global_ipv6_address, global_ipv6_prefix_len) = address(attachment.ipv6);
    let ipam_config = wished.map(|wished| EndpointIpam {
        ipv4_address: text(wished.ipv4),
        ipv6_address: text(wished.ipv6),
        link_local_ips: Vec::new(),
    });
    EndpointSettings {
        ipam_config: ipam_config.filter(|wished| *wished != EndpointIpam::default()),
        aliases: attachment.aliases.clone(),
        mac_address: attachment.mac_address.clone(),
        network_id: attachment.network_id.clone(),
        endpoint_id: attachment.endpoint_id.clone(),
        gateway: text(attachment.gateway),
        ip_address,
        ip_prefix_len,
        ipv6_gateway: text(attachment.gateway6),
        global_ipv6_address,
        global_ipv6_prefix_len,
        dns_names: attachment.dns_names.clone(),
        ..EndpointSettings::default()
    }
}

fn text<T: ToString>(address: Option<T>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn address<T: ToString>(address: Option<(T, u8)>) -> (String, u8) {
    address.map_or((String::new(), 0), |(address, length)| (address.to_string(), length))
}

/// The settings of an inspection; the default bridge's addresses are repeated at the top.
pub(super) fn settings(view: &engine::container::ContainerInspect) -> NetworkSettings {
    let networks = endpoints(&view.networks, Some(&view.spec.host.network));
    let bridge = networks.get("bridge").cloned().unwrap_or_default();
    let running = !view.namespace_path.is_empty();
    NetworkSettings {
        sandbox_id: if running { view.id.clone() } else { String::new() },
        sandbox_key: view.namespace_path.clone(),
        ports: ports(&view.ports),
        endpoint_id: bridge.endpoint_id,
        gateway: bridge.gateway,
        global_ipv6_address: bridge.global_ipv6_address,
        global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
        ip_address: bridge.ip_address,
        ip_prefix_len: bridge.ip_prefix_len,
        ipv6_gateway: bridge.ipv6_gateway,
        mac_address: bridge.mac_address,
        networks,
        ..NetworkSettings::default()
    }
}

/// `null` for a port that is merely exposed.
pub(super) fn ports(mappings: &[PortMapping]) -> PortMap {
    let mut ports = PortMap::new();
    for mapping in mappings {
        let bindings = ports.entry(mapping.port.to_string()).or_default();
        if let Some((address, number)) = mapping.host {
            bindings
                .get_or_insert_default()
                .push(PortBinding { host_ip: address.to_string(), host_port: number.to_string() });
        }
    }
    ports
}
