//! Sockets bound to an address of this host, to own a port without serving it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use crate::Error;

/// What travels to the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Binds a socket, so that nobody else can; IPv6 sockets are for IPv6 alone. Connections of an
/// earlier server that are still being forgotten (TIME-WAIT) do not count as use.
///
/// # Errors
/// `ADDRINUSE`, `ADDRNOTAVAIL`, `ACCES`; `PROTONOSUPPORT` where the kernel lacks the transport.
pub fn bound(transport: Transport, address: SocketAddr) -> Result<OwnedFd, Error> {
    let failed = |errno| Error::new("bind", address, errno);
    let socket = open(transport, address).map_err(failed)?;
    match rustix::net::bind(&socket, &address) {
        Err(Errno::ADDRINUSE) if transport == Transport::Tcp => {
            // Listening makes the kernel check for everything but TIME-WAIT, which a bound socket
            // alone does not: only then is the port known to be free.
            let probe = open(transport, address).map_err(failed)?;
            set_socket_reuseaddr(&probe, true).map_err(failed)?;
            rustix::net::bind(&probe, &address).map_err(failed)?;
            rustix::net::listen(&probe, 0).map_err(failed)?;
            drop(probe);
            let socket = open(transport, address).map_err(failed)?;
            set_socket_reuseaddr(&socket, true).map_err(failed)?;
            rustix::net::bind(&socket, &address).map_err(failed)?;
            // From now on nobody shares it with us.
            set_socket_reuseaddr(&socket, false).map_err(failed)?;
            Ok(socket)
        }
        Ok(()) => Ok(socket),
        Err(errno) => Err(failed(errno)),
    }
}

/// Makes a bound TCP socket accept connections, not blocking.
///
/// # Errors
/// `ADDRINUSE` when another socket listens there.
pub fn listen(socket: impl AsFd) -> Result<(), Error> {
    const BACKLOG: i32 = 128;
    let failed = |errno| Error::new("listen on", "port", errno);
    rustix::io::ioctl_fionbio(&socket, true).map_err(failed)?;
    rustix::net::listen(&socket, BACKLOG).map_err(failed)
}

/// The address that a socket is bound to.
///
/// # Errors
/// When it is no internet socket.
pub fn local_address(socket: impl AsFd) -> Result<SocketAddr, Error> {
    let failed = |errno| Error::new("read", "socket address", errno);
    let address = rustix::net::getsockname(socket).map_err(failed)?;
    SocketAddr::try_from(address).map_err(failed)
}

fn open(transport: Transport, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match transport {
        Transport::Tcp => (SocketType::STREAM, ipproto::TCP),
        Transport::Udp => (SocketType::DGRAM, ipproto::UDP),
        Transport::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Whether a socket is a stream socket (TCP) rather than one for datagrams (UDP).
///
/// # Errors
/// When the descriptor is no socket.
pub fn is_stream(socket: impl AsFd) -> Result<bool, Error> {
    rustix::net::sockopt::socket_type(socket)
        .map(|kind| kind == SocketType::STREAM)
        .map_err(|errno| Error::new("read", "socket type", errno))
}
