//! `/networks`, and a container's attachments to them.

use std::collections::BTreeMap;

use crate::Time;
use crate::lenient::{is_zero, null_if_empty, wire};

wire! {
    /// A network, in lists and when inspected.
    pub struct Network {
        /// Its name.
        pub name: String,
        /// Its id, 64 hexadecimal digits.
        pub id: String,
        /// When it was made.
        pub created: Time,
        /// `local`, `swarm`, `global`.
        pub scope: String,
        /// `bridge`, `host`, `null`, …
        pub driver: String,
        /// Whether containers get IPv4 addresses.
        #[serde(rename = "EnableIPv4")]
        pub enable_ipv4: bool,
        /// Whether containers get IPv6 addresses.
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        /// Address pools.
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        /// No way out.
        pub internal: bool,
        /// Containers may be attached by hand (swarm).
        pub attachable: bool,
        /// The routing mesh's network (swarm).
        pub ingress: bool,
        /// Where the configuration comes from (swarm).
        pub config_from: ConfigReference,
        /// Only a configuration for others (swarm).
        pub config_only: bool,
        /// Attached containers by id (when inspected).
        pub containers: BTreeMap<String, EndpointResource>,
        /// Options of the driver.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// Name of a network that lends its configuration.
    pub struct ConfigReference {
        /// The name.
        pub network: String,
    }

    /// Address pools of a network.
    #[derive(Eq)]
    pub struct Ipam {
        /// `default`.
        pub driver: String,
        /// Options of the driver.
        #[serde(serialize_with = "null_if_empty")]
        pub options: BTreeMap<String, String>,
        /// The pools.
        pub config: Vec<IpamConfig>,
    }

    /// One address pool.
    #[derive(Eq)]
    pub struct IpamConfig {
        /// The prefix, `172.17.0.0/16`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subnet: String,
        /// Part of it that is given to containers.
        #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
        pub ip_range: String,
        /// The router's address.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub gateway: String,
        /// Addresses held by others.
        #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
        pub auxiliary_addresses: BTreeMap<String, String>,
    }

    /// A container as a network sees it.
    pub struct EndpointResource {
        /// The container's name.
        pub name: String,
        /// Id of the attachment.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// Hardware address.
        pub mac_address: String,
        /// Address with prefix length, or empty.
        #[serde(rename = "IPv4Address")]
        pub ipv4_address: String,
        /// Address with prefix length, or empty.
        #[serde(rename = "IPv6Address")]
        pub ipv6_address: String,
    }

    /// `POST /networks/create`.
    pub struct CreateRequest {
        /// Name.
        pub name: String,
        /// Driver, `bridge` when empty.
        pub driver: String,
        /// Scope.
        pub scope: String,
        /// Whether containers get IPv4 addresses; yes when absent.
        #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
        pub enable_ipv4: Option<bool>,
        /// Whether containers get IPv6 addresses.
        #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
        pub enable_ipv6: Option<bool>,
        /// Address pools.
        #[serde(rename = "IPAM", skip_serializing_if = "Option::is_none")]
        pub ipam: Option<Ipam>,
        /// No way out.
        pub internal: bool,
        /// Containers may be attached by hand (swarm).
        pub attachable: bool,
        /// Options of the driver.
        pub options: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// `POST /networks/prune`.
    #[derive(Eq)]
    pub struct PruneResponse {
        /// Names of what was removed.
        #[serde(serialize_with = "null_if_empty")]
        pub networks_deleted: Vec<String>,
    }

    /// A container's attachment to one network, wished for and as it is.
    pub struct EndpointSettings {
        /// Addresses wished for.
        #[serde(rename = "IPAMConfig")]
        pub ipam_config: Option<EndpointIpam>,
        /// Links to containers (legacy).
        #[serde(serialize_with = "null_if_empty")]
        pub links: Vec<String>,
        /// More names.
        #[serde(serialize_with = "null_if_empty")]
        pub aliases: Vec<String>,
        /// Hardware address.
        pub mac_address: String,
        /// Options of the driver.
        #[serde(serialize_with = "null_if_empty")]
        pub driver_opts: BTreeMap<String, String>,
        /// Which network gives the default route: the highest.
        pub gw_priority: i64,
        /// Id of the network.
        #[serde(rename = "NetworkID")]
        pub network_id: String,
        /// Id of the attachment.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// The IPv4 router.
        pub gateway: String,
        /// The IPv4 address.
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        /// Its prefix length.
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        /// The IPv6 router.
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        /// The IPv6 address.
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        /// Its prefix length.
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        /// Every name the container has on this network.
        #[serde(rename = "DNSNames", serialize_with = "null_if_empty")]
        pub dns_names: Vec<String>,
    }

    /// Addresses wished for.
    #[derive(Eq)]
    pub struct EndpointIpam {
        /// IPv4 address.
        #[serde(rename = "IPv4Address", skip_serializing_if = "is_zero")]
        pub ipv4_address: String,
        /// IPv6 address.
        #[serde(rename = "IPv6Address", skip_serializing_if = "is_zero")]
        pub ipv6_address: String,
        /// Link-local addresses.
        #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
        pub link_local_ips: Vec<String>,
    }
}
