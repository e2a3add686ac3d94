//! Unix sockets that carry descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::Error;

/// The most descriptors that one message carries: the kernel's own bound (`SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

/// Space for [`MAX_FDS`] descriptors: a control header and one `int` each.
const ANCILLARY: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));

/// Who is at the other end of a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process when it connected; 0 when that is in another pid namespace.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Two connected stream sockets, close-on-exec, blocking.
///
/// # Errors
/// When no descriptor is left.
pub fn stream_pair() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::new("create", "a socket pair", errno))
}

/// Listens at a path, which must not exist; mode 0600 from its first moment on.
///
/// # Errors
/// `AlreadyExists`-like `ADDRINUSE` when the path exists, or the directory does not take it.
pub fn listen(path: &Path, backlog: i32) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new("listen on", path.display(), errno);
    let socket = stream_socket(SocketFlags::NONBLOCK).map_err(refuse)?;
    // The mode of a bound socket is that of its inode before `bind`, under no umask that adds bits.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(refuse)?;
    with_address(path, |address| rustix::net::bind(&socket, address)).map_err(refuse)?;
    rustix::net::listen(&socket, backlog).map_err(refuse)?;
    Ok(socket)
}

/// Connects to a listener at a path; blocking.
///
/// # Errors
/// `NotFound` without the path, `Unavailable` when nobody listens.
pub fn connect(path: &Path) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new("connect to", path.display(), errno);
    let socket = stream_socket(SocketFlags::empty()).map_err(refuse)?;
    with_address(path, |address| rustix::net::connect(&socket, address)).map_err(refuse)?;
    Ok(socket)
}

/// Takes one waiting connection, non-blocking and close-on-exec; `None` when there is none.
///
/// # Errors
/// When the kernel refuses (no descriptors left).
pub fn accept(listener: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Error> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(connection) => Ok(Some(connection)),
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(errno) => Err(Error::new("accept", "a connection", errno)),
    }
}

/// Bytes written to a unix stream socket that the peer has not read yet, counted as the kernel
/// keeps them (`SIOCOUTQ`, unix(7)); each time the peer reads, the socket becomes writable anew.
///
/// (It tells so while one byte of a message that has been read is still counted (`sock_wfree`): who
/// looks at that moment is not told again. No message counts as little as one byte.)
///
/// # Errors
/// What the kernel says.
pub fn unread_by_peer(socket: BorrowedFd<'_>) -> Result<usize, Error> {
    let mut count: libc::c_int = 0;
    // SAFETY: `count` is a live integer that the kernel writes; the descriptor is open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or_default();
        let errno = Errno::from_raw_os_error(errno);
        return Err(Error::new("count what is unread in", "a socket", errno));
    }
    Ok(usize::try_from(count.saturating_sub(1)).unwrap_or_default())
}

/// How many bytes a socket takes before its peer reads, as the kernel counts them: each message
/// costs more than its length.
///
/// # Errors
/// What the kernel says.
pub fn send_buffer(socket: BorrowedFd<'_>) -> Result<usize, Error> {
    rustix::net::sockopt::socket_send_buffer_size(socket)
        .map_err(|errno| Error::new("measure", "a socket's buffer", errno))
}

/// Has a socket take so many bytes before its peer reads; without privileges perhaps fewer.
///
/// # Errors
/// What the kernel says.
pub fn set_send_buffer(socket: BorrowedFd<'_>, bytes: i32) -> Result<(), Error> {
    let set = |option| {
        // SAFETY: the value is a live integer of the size given; the descriptor is open.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const bytes).cast(),
                SIZE_OF_INT,
            )
        };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    set(libc::SO_SNDBUFFORCE)
        .or_else(|_| set(libc::SO_SNDBUF))
        .map_err(|error| Error::from_io("set", "a socket's buffer", &error))
}

/// The size of what [`set_send_buffer`] passes.
const SIZE_OF_INT: libc::socklen_t = 4;

/// Who is at the other end of a connected unix socket.
///
/// # Errors
/// When it is no connected unix socket.
pub fn peer(socket: BorrowedFd<'_>) -> Result<Peer, Error> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)
        .map_err(|errno| Error::new("identify", "the peer of a socket", errno))?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

/// Sends all bytes, the descriptors with the first of them. On a non-blocking socket that is full it
/// waits, too: use it for messages that the peer is known to take.
///
/// # Errors
/// `PIPE` when the peer is gone (never a signal), `INVAL` for more than [`MAX_FDS`] descriptors or
/// descriptors without bytes.
pub fn send_with_fds(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let refuse = |errno| Error::new("send to", "a socket", errno);
    if fds.len() > MAX_FDS || (bytes.is_empty() && !fds.is_empty()) {
        return Err(refuse(Errno::INVAL));
    }
    let mut rest = bytes;
    let mut fds = fds;
    while !rest.is_empty() {
        match send_some(socket, rest, fds) {
            Ok(count) => {
                rest = &rest[count..];
                fds = &[];
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut waiting = [PollFd::new(&socket, PollFlags::OUT)];
                _ = poll(&mut waiting, None);
            }
            Err(errno) => return Err(refuse(errno)),
        }
    }
    Ok(())
}

/// Sends what the socket takes now, the descriptors with the first byte. Sends no `SIGPIPE`.
///
/// # Errors
/// The kernel's plain error number: `AGAIN` when a non-blocking socket is full.
pub fn send_some(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); ANCILLARY];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let slices = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)
}

/// Receives what is there into `buffer`, and descriptors (close-on-exec) into `fds`; 0 at the end.
///
/// # Errors
/// The kernel's plain error number: `AGAIN` when nothing is there on a non-blocking socket.
pub fn receive_with_fds(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); ANCILLARY];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok(received.bytes)
}

fn stream_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Calls with the address of a path. One that is too long for an address (107 bytes) is reached
/// through a descriptor of its directory.
fn with_address(
    path: &Path,
    call: impl Fn(&SocketAddrUnix) -> Result<(), Errno>,
) -> Result<(), Errno> {
    match SocketAddrUnix::new(path) {
        Err(Errno::NAMETOOLONG) => {}
        address => return call(&address?),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory.as_fd());
    call(&SocketAddrUnix::new(Path::new(&format!("/proc/self/fd/{number}")).join(name))?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    use super::{accept, connect, listen, peer, receive_with_fds, send_with_fds, stream_pair};

    #[test]
    fn descriptors_travel_with_the_first_byte() {
        let (left, right) = stream_pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        send_with_fds(left.as_fd(), b"hello", &[file.as_fd(), file.as_fd()]).unwrap();
        let (mut buffer, mut fds) = ([0; 64], Vec::new());
        let count = receive_with_fds(right.as_fd(), &mut buffer, &mut fds).unwrap();
        assert_eq!((&buffer[..count], fds.len()), (&b"hello"[..], 2));
        let received = std::fs::File::from(fds.remove(0)).metadata().unwrap();
        assert_eq!(received.ino(), file.metadata().unwrap().ino());
        drop(left);
        assert_eq!(receive_with_fds(right.as_fd(), &mut buffer, &mut fds), Ok(0));
        assert!(send_with_fds(right.as_fd(), b"x", &[]).is_err());
    }

    #[test]
    fn a_long_path_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("monitor.sock");
        let listener = listen(&path, 1).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert!(accept(listener.as_fd()).unwrap().is_none());
        let client = connect(&path).unwrap();
        let server = accept(listener.as_fd()).unwrap().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(peer(server.as_fd()).unwrap().pid, own);
        drop(client);
        drop(listener);
        let refused = connect(&path).unwrap_err();
        assert_eq!(refused.kind(), stdx::ErrorKind::Unavailable);
    }
}
