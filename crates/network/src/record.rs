//! Networks and endpoints as plain values: what is asked for, what is remembered, what is handed out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::port::{PortBinding, PublishedPort};

/// A hardware address of an Ethernet link, written as `02:42:ac:11:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid hardware address {0:?}")]
pub struct ParseMacError(String);

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let error = || ParseMacError(text.to_owned());
        let mut parts = text.split([':', '-']);
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        // The lowest bit of the first byte marks a group address, which no link may have.
        let group = bytes.first().is_some_and(|first| first & 1 == 1);
        if parts.next().is_some() || group { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = ParseMacError;

    fn try_from(text: String) -> Result<Self, ParseMacError> {
        text.parse()
    }
}

/// A network as it is remembered; give it back to [`crate::Networks::open`] to keep its subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// The network's name, `bridge` for the default one.
    pub name: String,
    /// The bridge's link name, at most 15 bytes.
    pub link: String,
    /// The IPv4 subnet with the gateway's address in it: `172.17.0.1/16`.
    pub ipv4: Ipv4Net,
    /// The IPv6 subnet with the gateway's address in it; `None` where the kernel has no IPv6.
    pub ipv6: Option<Ipv6Net>,
    /// Largest packet of the links, bytes.
    pub mtu: u32,
}

/// What a container wants of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The container's id, 64 hexadecimal digits.
    pub container: String,
    /// The container's name, without a slash.
    pub name: String,
    /// The host name that the container sees, if it is to be resolved too.
    pub hostname: Option<String>,
    /// The network's name, `bridge` for the default one.
    pub network: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Ports to publish.
    pub ports: Vec<PublishedPort>,
    /// A hardware address, or one derived from the IPv4 address.
    pub mac: Option<MacAddress>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Name servers asked for what is no container's name, instead of the host's.
    pub name_servers: Vec<IpAddr>,
}

/// The default routes of an endpoint, which are also where the name service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// For IPv4.
    pub ipv4: Ipv4Addr,
    /// For IPv6.
    pub ipv6: Option<Ipv6Addr>,
}

/// An endpoint as it is remembered: enough to disconnect it, or to adopt it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// The network's name.
    pub network: String,
    /// Names that resolve to this endpoint: name, aliases, short id, host name.
    pub names: Vec<String>,
    /// The name of the link's end in the host; never used for a second endpoint.
    pub link: String,
    /// The link's name inside the container.
    pub interface: String,
    /// The hardware address inside.
    pub mac: MacAddress,
    /// The IPv4 address with the subnet's prefix length.
    pub ipv4: Ipv4Net,
    /// The IPv6 address with the subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
    /// The default routes.
    pub gateway: Gateway,
    /// Published ports in force.
    pub ports: Vec<PortBinding>,
    /// Name servers asked for what is no container's name, instead of the host's.
    pub name_servers: Vec<IpAddr>,
}

/// A listener on `::1`, whose connections the holder splices to `target`: the kernel cannot
/// translate the destination of packets to `::1`.
#[derive(Debug)]
pub struct SpliceListener {
    /// A listening TCP socket, not blocking, close-on-exec.
    pub listener: OwnedFd,
    /// The container's address and port.
    pub target: SocketAddr,
}

/// A new endpoint: the record and the descriptors that come with it.
#[derive(Debug)]
pub struct Endpoint {
    /// What to remember.
    pub record: EndpointRecord,
    /// The network namespace: `lo` and `eth0` are up, addresses and routes are set.
    pub namespace: OwnedFd,
    /// Bound sockets that keep the host ports ours; to be kept as long as the container runs.
    pub held: Vec<OwnedFd>,
    /// Listeners to be served as long as the container runs.
    pub splice: Vec<SpliceListener>,
}
