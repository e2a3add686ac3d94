//! The sockets of the API.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use docker_api::Endpoint;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{self, Service, Socket};
use crate::{Error, Result};

/// Where the stock clients look.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The group that may use the sockets, if there is one of that name.
const DOCKER_GROUP: &str = "docker";
/// When no connection can be accepted (no descriptor left), how long until the next try.
const BREATH: Duration = Duration::from_millis(100);

/// A bound socket. The file of a unix socket is removed when it is dropped.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix { listener: UnixListener, path: PathBuf },
    Tcp(TcpListener),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            // It may have been replaced or removed by hand.
            drop(fs::remove_file(path));
        }
    }
}

/// What is listened on.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// The root's own socket.
    pub(crate) socket: PathBuf,
    /// Docker's too.
    pub(crate) docker_socket: bool,
    /// `unix://…` and `tcp://…`.
    pub(crate) more: Vec<String>,
    /// Who may use the unix sockets besides root.
    pub(crate) group: Option<String>,
}

impl Addresses {
    /// Binds all of them. The root must be held: a socket left by a dead daemon is replaced.
    pub(crate) fn bind(&self) -> Result<Vec<Listener>> {
        let group = group_id(self.group.as_deref())?;
        let mut listeners = vec![unix(&self.socket, group)?];
        if self.docker_socket {
            listeners.push(unix(Path::new(DOCKER_SOCKET), group)?);
        }
        for address in &self.more {
            listeners.push(match endpoint(address)? {
                Endpoint::Unix(path) => unix(&path, group)?,
                Endpoint::Tcp { host, port } => tcp(address, &host, port)?,
            });
        }
        Ok(listeners)
    }

    /// Refuses what cannot be served, before anything is begun.
    pub(crate) fn check(&self) -> Result<()> {
        for address in &self.more {
            if let Endpoint::Tcp { host, port } = endpoint(address)? {
                loopback(address, &host, port)?;
            }
        }
        Ok(())
    }
}

fn endpoint(address: &str) -> Result<Endpoint> {
    address.parse().map_err(|_| Error::Address {
        address: address.to_owned(),
        reason: "want unix:///path or tcp://address:port",
    })
}

fn unix(path: &Path, group: u32) -> Result<Listener> {
    let failed = |operation| move |error| Error::io(operation, path.display().to_string(), error);
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(Error::SocketInUse(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace")(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed("listen on"))?;
    let listener = Listener::Unix { listener, path: path.to_owned() };
    chown(path, Some(0), Some(group)).map_err(failed("set the owner of"))?;
    let mode = fs::Permissions::from_mode(0o660);
    fs::set_permissions(path, mode).map_err(failed("set the mode of"))?;
    Ok(listener)
}

/// The number of the group named, which must exist, or of Docker's, or root's.
fn group_id(named: Option<&str>) -> Result<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    let find = |name: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
        })
    };
    match named {
        Some(name) => find(name).ok_or_else(|| Error::Address {
            address: format!("group {name}"),
            reason: "there is no such group",
        }),
        None => Ok(find(DOCKER_GROUP).unwrap_or(0)),
    }
}

/// Everybody who reaches the API is root: without TLS it is for this host only.
fn loopback(address: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let resolved = (host, port)
        .to_socket_addrs()
        .map_err(|error| Error::io("look up", address, error))?
        .collect::<Vec<_>>();
    if resolved.iter().all(|address| address.ip().is_loopback()) {
        return Ok(resolved);
    }
    Err(Error::Address {
        address: address.to_owned(),
        reason: "whoever reaches the API is root on this host, and TLS is not available yet: only \
                 loopback addresses are served",
    })
}

fn tcp(address: &str, host: &str, port: u16) -> Result<Listener> {
    let failed = |error| Error::io("listen on", address, error);
    let resolved = loopback(address, host, port)?;
    let listener = std::net::TcpListener::bind(resolved.as_slice()).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    TcpListener::from_std(listener).map(Listener::Tcp).map_err(failed)
}

/// Accepts until `closing`; then the socket's file goes.
pub(crate) async fn accept<S: Service>(
    listener: Listener,
    service: Arc<S>,
    connections: TaskTracker,
    closing: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener) => accepted,
            () = closing.cancelled() => return,
        };
        match accepted {
            Ok(socket) => {
                let serving = http::serve(Arc::clone(&service), socket, closing.clone());
                drop(connections.spawn(serving));
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn accept_one(listener: &Listener) -> io::Result<Socket> {
    match listener {
        Listener::Unix { listener, .. } => {
            let (stream, _) = listener.accept().await?;
            if let Ok(peer) = stream.peer_cred() {
                tracing::debug!(uid = peer.uid(), pid = peer.pid(), "connection");
            }
            Ok(Socket::Unix(stream))
        }
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            tracing::debug!(%peer, "connection");
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Addresses;

    fn check(address: &str) -> Result<(), String> {
        let addresses = Addresses {
            socket: "/nowhere".into(),
            docker_socket: false,
            more: vec![address.to_owned()],
            group: None,
        };
        addresses.check().map_err(|error| error.to_string())
    }

    #[test]
    fn only_this_host_is_served() {
        check("tcp://127.0.0.1:0").unwrap();
        check("tcp://[::1]:2375").unwrap();
        check("unix:///tmp/x.sock").unwrap();
        for address in ["tcp://0.0.0.0:2375", "tcp://192.0.2.1:2375", "fd://", "nonsense"] {
            assert!(check(address).is_err(), "{address}");
        }
        assert!(check("tcp://0.0.0.0:2375").unwrap_err().contains("TLS"));
    }
}
