//! Host ports of an endpoint: chosen and owned by binding real sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use linux::bind::{self, Transport};

use crate::error::Error;
use crate::holder;
use crate::port::{PortBinding, PortRange, Protocol, PublishedPort};
use crate::record::SpliceListener;

/// Errno values by their numbers, which are the same on all Linux architectures that we know.
const ADDRESS_IN_USE: i32 = 98;
const ADDRESS_NOT_AVAILABLE: i32 = 99;
const FAMILY_NOT_SUPPORTED: i32 = 97;
const PROTOCOL_NOT_SUPPORTED: i32 = 93;

/// How often "any free port" is tried when the port is free for one family only.
const ATTEMPTS: usize = 32;

/// Ports in force and the sockets that own them.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) ports: Vec<PortBinding>,
    pub(crate) held: Vec<OwnedFd>,
    pub(crate) splice: Vec<SpliceListener>,
}

/// Why a port was not published.
#[derive(Debug)]
enum Refusal {
    InUse,
    Fatal(Error),
}

/// Binds every port that is asked for; `container` is where spliced connections go.
pub(crate) fn publish(
    endpoint: &str,
    requests: &[PublishedPort],
    container: Ipv4Addr,
) -> Result<Published, Error> {
    let mut published = Published::default();
    for request in requests {
        check(request)?;
        publish_one(endpoint, request, container, &mut published)?;
    }
    Ok(published)
}

fn check(request: &PublishedPort) -> Result<(), Error> {
    let PortRange { start, end } = request.host_ports;
    let reason = if request.container_port == 0 {
        "container port 0 cannot be published".to_owned()
    } else if start > end || (start == 0 && end != 0) {
        format!("invalid range of host ports {start}-{end}")
    } else {
        return Ok(());
    };
    Err(Error::InvalidRequest { reason })
}

fn publish_one(
    endpoint: &str,
    request: &PublishedPort,
    container: Ipv4Addr,
    published: &mut Published,
) -> Result<(), Error> {
    let PortRange { start, end } = request.host_ports;
    let any = start == 0;
    let candidates: Box<dyn Iterator<Item = u16>> =
        if any { Box::new(std::iter::repeat_n(0, ATTEMPTS)) } else { Box::new(start..=end) };
    for port in candidates {
        match bind_all(request, port, container) {
            Ok(mut bound) => {
                published.ports.append(&mut bound.ports);
                published.held.append(&mut bound.held);
                published.splice.append(&mut bound.splice);
                return Ok(());
            }
            Err(Refusal::InUse) => {}
            Err(Refusal::Fatal(error)) => return Err(error),
        }
    }
    let address = request.host_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Err(Error::PortInUse {
        endpoint: endpoint.to_owned(),
        address: match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        },
        port: end,
        protocol: request.protocol,
        holder: holder::process(request.protocol, address, end),
    })
}

/// Binds one port on every address asked for; nothing stays bound if one fails.
fn bind_all(request: &PublishedPort, port: u16, container: Ipv4Addr) -> Result<Published, Refusal> {
    let mut bound = Published::default();
    let both = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = request.host_address.as_ref().map_or(both.as_slice(), std::slice::from_ref);
    let mut port = port;
    for address in addresses {
        let host = SocketAddr::new(*address, port);
        let socket = match hold(request.protocol, host) {
            Ok(socket) => socket,
            // Without IPv6 in the host, "every address" is IPv4's.
            Err(error) if request.host_address.is_none() && lacks_family(&error, *address) => {
                continue;
            }
            Err(error) => return Err(refusal(error, host)),
        };
        if let Some(socket) = &socket {
            port = bind::local_address(socket).map_err(|error| refusal(error, host))?.port();
        }
        if port == 0 {
            let reason = "this kernel cannot choose an SCTP port: name one".to_owned();
            return Err(Refusal::Fatal(Error::InvalidRequest { reason }));
        }
        bound.ports.push(PortBinding {
            protocol: request.protocol,
            host_address: *address,
            host_port: port,
            container_port: request.container_port,
        });
        let Some(socket) = socket else { continue };
        if request.protocol == Protocol::Tcp && is_spliced(*address) {
            bind::listen(&socket).map_err(|error| refusal(error, host))?;
            let target = SocketAddr::new(container.into(), request.container_port);
            bound.splice.push(SpliceListener { listener: socket, target });
        } else {
            bound.held.push(socket);
        }
    }
    Ok(bound)
}

/// Whether connections to `::1` can arrive there: the kernel cannot translate those, every other
/// connection never reaches the listener.
fn is_spliced(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unspecified() || address.is_loopback())
}

/// `None` where the kernel has no sockets of the protocol, although it can translate it.
fn hold(protocol: Protocol, host: SocketAddr) -> Result<Option<OwnedFd>, linux::Error> {
    let transport = match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
    };
    match bind::bound(transport, host) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if number(&error) == Some(PROTOCOL_NOT_SUPPORTED) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lacks_family(error: &linux::Error, address: IpAddr) -> bool {
    let missing = [FAMILY_NOT_SUPPORTED, ADDRESS_NOT_AVAILABLE];
    address.is_ipv6() && number(error).is_some_and(|number| missing.contains(&number))
}

fn refusal(source: linux::Error, host: SocketAddr) -> Refusal {
    match number(&source) {
        Some(ADDRESS_IN_USE) => Refusal::InUse,
        Some(ADDRESS_NOT_AVAILABLE) => {
            Refusal::Fatal(Error::NoSuchHostAddress { address: host.ip() })
        }
        _ => Refusal::Fatal(Error::kernel("publish port on", host.to_string())(source)),
    }
}

fn number(error: &linux::Error) -> Option<i32> {
    error.errno().map(|errno| io::Error::from(errno).raw_os_error().unwrap_or(0))
}
