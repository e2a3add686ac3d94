//! The name service: containers' names from a table, everything else from the host's resolvers.
//!
//! ```text
//!  question ─ UDP/TCP to a gateway address, port 53 ─► (nftables) any port of ours there
//!     ├─ answer: name, alias, short id, host name, reverse look-up ─► reply, times to live 1 s
//!     └─ else ─► cache ─► upstream: container's own servers, or the host's (resolv.conf)
//! ```
//! Port 53 itself is never bound: it is the host's to use and containers' to publish.
//!
//! Only containers of ours and the host itself are answered, so that no neighbor finds an open
//! resolver.

mod answer;
mod cache;
mod resolv_conf;
mod serve;
mod table;
mod upstream;

pub use table::Names;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::port::Protocol;
use cache::Cache;
use resolv_conf::Resolvers;
use serve::Service;

/// Where the servers that we ask listen.
const PORT: u16 = 53;
/// Questions forwarded at once; more are refused.
const FORWARDED: usize = 1024;
/// TCP connections served at once; more wait.
const CONNECTIONS: usize = 256;

/// What [`NameService::start`] needs to know.
#[derive(Debug)]
pub struct NameServiceOptions {
    /// Where to answer: the gateway addresses of the networks, each on a port that is free.
    pub addresses: Vec<IpAddr>,
    /// Sockets that an earlier daemon had bound (see [`NameService::sockets`]); those that are
    /// missing are bound anew, those that fit no address are closed.
    pub sockets: Vec<OwnedFd>,
    /// The host's `resolv.conf`; its changes are followed.
    pub resolv_conf: PathBuf,
    /// Names that resolve to the asking container's gateway, such as `host.docker.internal`.
    pub gateway_names: Vec<String>,
    /// Owns every task of the service.
    pub tracker: TaskTracker,
    /// Ends the service.
    pub cancel: CancellationToken,
}

/// The running name service.
#[derive(Debug)]
pub struct NameService {
    sockets: Vec<OwnedFd>,
    ports: Vec<(Protocol, SocketAddr)>,
}

impl NameService {
    /// Binds the sockets and starts answering. Call inside a tokio runtime, and tell
    /// [`crate::Networks::lead_to_names`] next.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn start(names: &Arc<Names>, options: NameServiceOptions) -> Result<Self, Error> {
        let NameServiceOptions { addresses, sockets, resolv_conf, .. } = options;
        let resolvers = Resolvers::read(resolv_conf, addresses.clone());
        let gateway_names = options.gateway_names;
        let service = Arc::new(Service {
            names: Arc::clone(names),
            gateway_names: gateway_names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            ourselves: addresses.clone(),
            resolvers,
            cache: Cache::default(),
            turn: AtomicUsize::new(0),
            forwarded: Semaphore::new(FORWARDED),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            tracker: options.tracker.clone(),
            cancel: options.cancel.clone(),
        });
        let mut inherited = inherit(sockets);
        let (mut kept, mut ports) = (Vec::new(), Vec::new());
        for address in addresses {
            let failed = || Error::io("answer names on", address.to_string());
            let (datagrams, streams) = bind(address, &mut inherited).map_err(failed())?;
            ports.push((Protocol::Udp, datagrams.local_addr().map_err(failed())?));
            ports.push((Protocol::Tcp, streams.local_addr().map_err(failed())?));
            for descriptor in [datagrams.as_fd(), streams.as_fd()] {
                kept.push(descriptor.try_clone_to_owned().map_err(failed())?);
            }
            let datagrams = tokio::net::UdpSocket::from_std(datagrams).map_err(failed())?;
            let streams = tokio::net::TcpListener::from_std(streams).map_err(failed())?;
            options.tracker.spawn(Arc::clone(&service).datagrams(Arc::new(datagrams)));
            options.tracker.spawn(Arc::clone(&service).streams(streams));
        }
        options.tracker.spawn(service.follow());
        Ok(Self { sockets: kept, ports })
    }

    /// Where it answers.
    pub(crate) fn ports(&self) -> &[(Protocol, SocketAddr)] {
        &self.ports
    }

    /// Duplicates of the bound sockets, to be kept by a process that outlives this one.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn sockets(&self) -> Result<Vec<OwnedFd>, Error> {
        let copies = self.sockets.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>();
        copies.map_err(Error::io("duplicate", "sockets of the name service"))
    }
}

#[derive(Debug, Default)]
struct Inherited {
    datagrams: Vec<UdpSocket>,
    streams: Vec<TcpListener>,
}

fn inherit(sockets: Vec<OwnedFd>) -> Inherited {
    let mut inherited = Inherited::default();
    for socket in sockets {
        match linux::bind::is_stream(&socket) {
            Ok(true) => inherited.streams.push(socket.into()),
            Ok(false) => inherited.datagrams.push(socket.into()),
            Err(error) => tracing::warn!(error = stdx::chain(&error), "not a socket"),
        }
    }
    inherited
}

/// The sockets for an address: inherited, or new.
fn bind(address: IpAddr, inherited: &mut Inherited) -> std::io::Result<(UdpSocket, TcpListener)> {
    let same = |found: std::io::Result<SocketAddr>| found.is_ok_and(|found| found.ip() == address);
    let datagrams = match inherited.datagrams.iter().position(|socket| same(socket.local_addr())) {
        Some(index) => inherited.datagrams.swap_remove(index),
        None => UdpSocket::bind((address, 0))?,
    };
    let streams = match inherited.streams.iter().position(|socket| same(socket.local_addr())) {
        Some(index) => inherited.streams.swap_remove(index),
        None => TcpListener::bind((address, 0))?,
    };
    datagrams.set_nonblocking(true)?;
    streams.set_nonblocking(true)?;
    Ok((datagrams, streams))
}
