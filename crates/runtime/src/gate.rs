//! Opening a container's gate from another process than the one that made it (`create`, later
//! `start`): a socket in the container's state directory, at which its process waits.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use linux::process::PidFd;
use oci::runtime::State;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

use crate::Error;
use crate::channel::Parent;

/// A listening socket at this path, for [`crate::CreateRequest::gate`].
///
/// # Errors
/// What the kernel says.
pub fn listen_at(path: &Path) -> Result<OwnedFd, Error> {
    let fail = |errno| linux::Error::new("listen at", path.display(), errno);
    let socket = seqpacket().map_err(fail)?;
    let (_parent, address) = address_of(path).map_err(fail)?;
    bind(&socket, &address).map_err(fail)?;
    listen(&socket, 1).map_err(fail)?;
    Ok(socket)
}

/// Opens the gate of the process that waits at this path; returns when its program runs. `state` is
/// what a listener of its system calls is told.
///
/// # Errors
/// As [`crate::Created::start`]; `ECONNREFUSED` when nobody waits.
pub fn open(path: &Path, process: &PidFd, state: &State) -> Result<(), Error> {
    let fail = |errno| linux::Error::new("open gate", path.display(), errno);
    let socket = seqpacket().map_err(fail)?;
    let (_parent, address) = address_of(path).map_err(fail)?;
    connect(&socket, &address).map_err(fail)?;
    Parent::from_socket(socket, state.clone()).start(process)
}

/// A socket's address has room for 107 bytes only: longer paths go by way of the open directory.
fn address_of(path: &Path) -> rustix::io::Result<(Option<OwnedFd>, SocketAddrUnix)> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((None, address));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
    let short = format!("/proc/self/fd/{}", parent.as_raw_fd());
    let address = SocketAddrUnix::new(Path::new(&short).join(name))?;
    Ok((Some(parent), address))
}

fn seqpacket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}
