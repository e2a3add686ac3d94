//! The host's resolvers: `resolv.conf`, read again whenever it changes.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use linux::inotify::{Inotify, Watch};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::Error;

const PORT: u16 = 53;

/// The addresses to forward to, in order.
#[derive(Debug)]
pub(crate) struct Resolvers {
    path: PathBuf,
    /// Where we answer ourselves: never asked.
    ourselves: Vec<IpAddr>,
    servers: RwLock<Arc<[SocketAddr]>>,
}

impl Resolvers {
    pub(crate) fn read(path: PathBuf, ourselves: Vec<IpAddr>) -> Self {
        let resolvers = Self { path, ourselves, servers: RwLock::new(Arc::new([])) };
        resolvers.refresh();
        resolvers
    }

    pub(crate) fn servers(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.servers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A file that is missing for a moment, while it is replaced, changes nothing.
    fn refresh(&self) {
        let Ok(text) = std::fs::read_to_string(&self.path) else { return };
        let servers = parse(&text, interface_index)
            .into_iter()
            .filter(|server| !self.ourselves.contains(&server.ip()))
            .collect();
        *self.servers.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Follows changes of the file, also when it is a symbolic link to one that changes. Returns
    /// only on an error.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        let path = self.path.display().to_string();
        let failed = || Error::kernel("follow", &path);
        let inotify = Inotify::new().map_err(failed())?;
        for directory in self.directories() {
            let flags = Watch::CLOSE_WRITE | Watch::MOVED_TO | Watch::CREATE;
            inotify.add(&directory, flags).map_err(failed())?;
        }
        let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
        let descriptor: OwnedFd = copy(inotify.as_fd()).map_err(Error::io("follow", &path))?;
        #[expect(deprecated, reason = "an OwnedFd keeps its number, as the safe form asks")]
        let ready = AsyncFd::with_interest(descriptor, Interest::READABLE)
            .map_err(Error::io("follow", &path))?;
        // What changed before the watch was there.
        self.refresh();
        loop {
            ready.readable().await.map_err(Error::io("follow", &path))?.clear_ready();
            if inotify.drain().map_err(failed())? {
                self.refresh();
            }
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        let target = std::fs::canonicalize(&self.path).ok();
        let mut directories: Vec<PathBuf> = [Some(self.path.clone()), target]
            .into_iter()
            .flatten()
            .filter_map(|path| path.parent().map(Path::to_path_buf))
            .collect();
        directories.dedup();
        directories
    }
}

/// The `nameserver` lines of resolv.conf(5); without any, the local host.
fn parse(text: &str, interface_index: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then(|| words.next())?
        })
        .filter_map(|server| address(server, &interface_index))
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from(([127, 0, 0, 1], PORT)));
    }
    servers
}

/// An address, for link-local IPv6 with `%interface`.
fn address(text: &str, interface_index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => Some(SocketAddr::new(text.parse().ok()?, PORT)),
        Some((address, interface)) => {
            let scope = interface_index(interface)?;
            Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
        }
    }
}

fn interface_index(name: &str) -> Option<u32> {
    let path = Path::new("/sys/class/net").join(name).join("ifindex");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let servers = parse(text, |name| (name == "eth0").then_some(7));
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, expected);
    }

    #[test]
    fn name_servers_are_read() {
        check("# nameserver 1.1.1.1\nsearch lan\nnameserver 10.0.0.1\n", &["10.0.0.1:53"]);
        check("nameserver\t::1 # near\nnameserver x", &["[::1]:53"]);
        check("nameserver fe80::1%eth0\nnameserver fe80::1%none", &["[fe80::1%7]:53"]);
        check("", &["127.0.0.1:53"]);
    }
}
