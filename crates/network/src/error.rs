//! What can go wrong with networks.

use std::fmt;
use std::net::IpAddr;

use stdx::ErrorKind;

use crate::port::Protocol;

/// A failed operation on a network, an endpoint or the name service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused one step.
    #[error("cannot {operation} {object}")]
    Kernel {
        /// What was attempted, in lower case: `create link`.
        operation: &'static str,
        /// On what.
        object: String,
        /// The kernel's answer.
        #[source]
        source: linux::Error,
    },
    /// A file, socket or thread of ours failed.
    #[error("cannot {operation} {object}")]
    Io {
        /// What was attempted, in lower case.
        operation: &'static str,
        /// On what.
        object: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Somebody has the host port already.
    #[error(
        "driver failed programming external connectivity on endpoint {endpoint}: Bind for {address}:{port} failed: port is already allocated{}",
        by(holder.as_ref())
    )]
    PortInUse {
        /// The container's name.
        endpoint: String,
        /// The host address asked for, with brackets if IPv6.
        address: String,
        /// The host port, or the last one tried of a range.
        port: u16,
        /// TCP, UDP or SCTP.
        protocol: Protocol,
        /// Who has it, when that can be found out.
        holder: Option<PortHolder>,
    },
    /// The host has no such address.
    #[error("cannot publish a port on {address}: the host has no such address")]
    NoSuchHostAddress {
        /// The address asked for.
        address: IpAddr,
    },
    /// No network of that name is known.
    #[error("network {name} not found")]
    NetworkNotFound {
        /// The name asked for.
        name: String,
    },
    /// The address is in use by another endpoint.
    #[error("address {address} is already in use")]
    AddressInUse {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address does not lie in the network's subnet, or is its gateway or broadcast address.
    #[error("address {address} is not usable in network {network}")]
    AddressNotUsable {
        /// The address asked for.
        address: IpAddr,
        /// The network.
        network: String,
    },
    /// Every address of the subnet is taken.
    #[error("no free address left in network {network}")]
    AddressesExhausted {
        /// The network.
        network: String,
    },
    /// Every pool overlaps a route or an address of this host.
    #[error("no subnet left that does not overlap a route or address of this host")]
    SubnetsExhausted,
    /// The request contradicts itself.
    #[error("invalid network request: {reason}")]
    InvalidRequest {
        /// Why.
        reason: String,
    },
    /// The networks are closed already.
    #[error("networks are shutting down")]
    Closed,
}

/// Who holds a host port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortHolder {
    /// A container of ours.
    Container {
        /// Its name.
        name: String,
    },
    /// A process of the host.
    Process {
        /// Its id.
        pid: u32,
        /// Its name as `/proc/PID/comm` has it.
        name: String,
    },
}

impl fmt::Display for PortHolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { name } => write!(formatter, "container {name}"),
            Self::Process { pid, name } => write!(formatter, "{name} (process {pid})"),
        }
    }
}

fn by(holder: Option<&PortHolder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

impl Error {
    /// The kind, for statuses and exit codes.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kernel { source, .. } => source.kind(),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::PortInUse { .. } | Self::AddressInUse { .. } => ErrorKind::Conflict,
            Self::NetworkNotFound { .. } => ErrorKind::NotFound,
            Self::NoSuchHostAddress { .. }
            | Self::AddressNotUsable { .. }
            | Self::InvalidRequest { .. } => ErrorKind::InvalidInput,
            Self::AddressesExhausted { .. } | Self::SubnetsExhausted => ErrorKind::Exhausted,
            Self::Closed => ErrorKind::Unavailable,
        }
    }

    /// What the user can do about it, if we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PortInUse { holder: Some(PortHolder::Container { name }), .. } => {
                Some(format!("stop container {name} or publish another host port"))
            }
            Self::PortInUse { .. } => {
                Some("stop that program, or publish another host port".to_owned())
            }
            Self::SubnetsExhausted => Some("give the network a subnet by hand".to_owned()),
            _ => None,
        }
    }

    pub(crate) fn kernel(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(linux::Error) -> Self {
        let object = object.into();
        move |source| Self::Kernel { operation, object, source }
    }

    pub(crate) fn io(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let object = object.into();
        move |source| Self::Io { operation, object, source }
    }
}
