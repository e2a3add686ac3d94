//! Published ports: as asked for, and as resolved.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol's number in an IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A text that is no protocol name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol {0:?}")]
pub struct ParsePortError(String);

impl FromStr for Protocol {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Self, ParsePortError> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(ParsePortError(text.to_owned())),
        }
    }
}

/// Host ports to choose from: the first free one is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port; 0 with an `end` of 0 means any free port.
    pub start: u16,
    /// The last port, inclusive.
    pub end: u16,
}

impl PortRange {
    /// Any free port of the host's local range.
    pub const ANY: Self = Self { start: 0, end: 0 };

    /// Exactly this port (or any, for 0).
    #[must_use]
    pub const fn single(port: u16) -> Self {
        Self { start: port, end: port }
    }
}

/// A port to publish, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The protocol.
    pub protocol: Protocol,
    /// The host address; `None` means every address, IPv4 and IPv6.
    pub host_address: Option<IpAddr>,
    /// The host port or ports to choose from.
    pub host_ports: PortRange,
    /// The port inside the container.
    pub container_port: u16,
}

/// A published port as it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortBinding {
    /// The protocol.
    pub protocol: Protocol,
    /// The host address; `0.0.0.0` and `::` mean every address of the family.
    pub host_address: IpAddr,
    /// The host port, never 0.
    pub host_port: u16,
    /// The port inside the container.
    pub container_port: u16,
}

impl PortBinding {
    /// The host side as a socket address.
    #[must_use]
    pub const fn host(&self) -> SocketAddr {
        SocketAddr::new(self.host_address, self.host_port)
    }
}
