//! The daemon's side: speaking to the launcher and to monitors.
//!
//! Everything here is synchronous and short: requests are written in one call to a socket whose peer
//! only reads; a monitor that does not is told of, never waited for. For waiting (notices, events) both clients give a descriptor to an asynchronous
//! caller, which feeds what it reads to `stdx::frame::Decoder` and each frame to [`notice`] or
//! [`event`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use linux::socket;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;
use stdx::frame::{self, Decoder};

use crate::Error;
use crate::protocol::{
    Command, EXIT_FILE, Event, Exit, FdRole, Launch, LaunchRequest, Notice, Request, SOCKET_FILE,
    VERSION,
};
use crate::record::Record;

/// Bytes that wait for a monitor at most: the longest frame, and what the kernel adds.
const ROOM: i32 = 16 << 20;

/// The launcher of this daemon.
#[derive(Debug)]
pub struct Launcher {
    connection: Connection,
}

impl Launcher {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { connection: Connection::new(socket, "the launcher".to_owned()) }
    }

    /// Has a monitor forked for a container, and gives the connection to it; the first event on it
    /// is `Started` or `Failed`. An end of file before that says that the monitor was killed.
    ///
    /// `fds` need no `Control`: it is made here.
    ///
    /// # Errors
    /// When the launcher is gone (`Unavailable`).
    pub fn launch(
        &self,
        launch: &Launch,
        fds: &[(FdRole, BorrowedFd<'_>)],
    ) -> Result<Control, Error> {
        let (ours, theirs) = socket::stream_pair()?;
        let mut roles = vec![FdRole::Control];
        let mut descriptors = vec![theirs.as_fd()];
        for (role, fd) in fds {
            roles.push(role.clone());
            descriptors.push(*fd);
        }
        let request = LaunchRequest { version: VERSION, launch: launch.clone(), fds: roles };
        self.connection.send(&Request::Launch(Box::new(request)), &descriptors)?;
        Ok(Control::over(ours, format!("the monitor of {}", launch.id)))
    }

    /// Keeps descriptors over a crash of the daemon.
    ///
    /// # Errors
    /// When the launcher is gone.
    pub fn store(&self, key: &str, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let count = fds.len();
        self.connection.send(&Request::Store { key: key.to_owned(), count }, fds)
    }

    /// What is stored under this key; empty when nothing is.
    ///
    /// # Errors
    /// When the launcher is gone.
    pub fn retrieve(&self, key: &str) -> Result<Vec<OwnedFd>, Error> {
        let (ours, theirs) = socket::stream_pair()?;
        self.connection.send(&Request::Retrieve { key: key.to_owned() }, &[theirs.as_fd()])?;
        drop(theirs);
        let mut fds = Vec::new();
        let mut buffer = [0; 64];
        loop {
            match socket::receive_with_fds(ours.as_fd(), &mut buffer, &mut fds) {
                Ok(0) => return Ok(fds),
                Ok(_) => {}
                Err(errno) => return Err(self.connection.fail("read the answer of", errno)),
            }
        }
    }

    /// Closes what is stored under this key.
    ///
    /// # Errors
    /// When the launcher is gone.
    pub fn discard(&self, key: &str) -> Result<(), Error> {
        self.connection.send(&Request::Discard { key: key.to_owned() }, &[])
    }

    /// The daemon ends on purpose: the launcher does not start it again, and goes when the last
    /// monitor has gone.
    ///
    /// # Errors
    /// When the launcher is gone already.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.connection.send(&Request::Shutdown, &[])
    }

    /// A duplicate of the socket on which notices arrive, as frames for [`notice`]. One reader only.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn notices(&self) -> Result<OwnedFd, Error> {
        self.connection.duplicate()
    }
}

/// A connection to one monitor.
#[derive(Debug)]
pub struct Control {
    connection: Connection,
}

impl Control {
    /// Connects to the monitor of a container that was started earlier; the first event is a
    /// `Snapshot`.
    ///
    /// # Errors
    /// `NotFound` or `Unavailable` when there is no monitor any more: look for the exit file.
    pub fn connect(run_directory: &Path) -> Result<Self, Error> {
        let path = run_directory.join(SOCKET_FILE);
        let socket = socket::connect(&path)?;
        Ok(Self::over(socket, format!("{}", path.display())))
    }

    fn over(socket: OwnedFd, peer: String) -> Self {
        // With less room fewer commands wait for a monitor that is busy.
        drop(socket::set_send_buffer(socket.as_fd(), ROOM));
        Self { connection: Connection::new(socket, peer) }
    }

    /// Sends one command; `fd` is its attach socket (the monitor's end). Never waits.
    ///
    /// # Errors
    /// When the monitor is gone; [`Error::Unresponsive`] when it has not read what it was sent
    /// before, and there is no room for more.
    pub fn send(&self, command: &Command, fd: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        self.connection.send_if_room(command, fd.as_slice())
    }

    /// Waits for the next event; `None` at the end of the connection. Not to be mixed with
    /// [`Control::events`].
    ///
    /// # Errors
    /// When reading fails or the message is not understood.
    pub fn receive(&self) -> Result<Option<Event>, Error> {
        self.connection.receive()?.map(|frame| event(&frame)).transpose()
    }

    /// A duplicate of the socket on which events arrive, as frames for [`event`]. One reader only.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn events(&self) -> Result<OwnedFd, Error> {
        self.connection.duplicate()
    }
}

/// Understands one frame from the launcher.
///
/// # Errors
/// When it is no notice.
pub fn notice(frame: &[u8]) -> Result<Notice, Error> {
    crate::link::parse(frame).map_err(|source| message("the launcher", source))
}

/// Understands one frame from a monitor.
///
/// # Errors
/// When it is no event.
pub fn event(frame: &[u8]) -> Result<Event, Error> {
    crate::link::parse(frame).map_err(|source| message("a monitor", source))
}

/// Reads how a container ended from its run directory; `None` when it has not (or its monitor could
/// not write it).
///
/// # Errors
/// When the file is there but cannot be read or understood.
pub fn recorded_exit(run_directory: &Path) -> Result<Option<Exit>, Error> {
    let path = run_directory.join(EXIT_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => crate::link::parse(&bytes)
            .map(Some)
            .map_err(|source| message(&path.display().to_string(), source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => {
            Err(Error::File { operation: "read", path: path.display().to_string(), source })
        }
    }
}

/// The process that looks after a running container, as it wrote it down itself; `None` while the
/// container is being made.
///
/// # Errors
/// When there is none, or what it wrote cannot be read.
pub fn monitor_of(run_directory: &Path) -> Result<Option<u32>, Error> {
    Ok(Record::read(run_directory)?.started.map(|started| started.monitor))
}

fn message(peer: &str, source: serde_json::Error) -> Error {
    Error::Message { peer: peer.to_owned(), source }
}

/// A blocking, shared end of a framed connection.
#[derive(Debug)]
struct Connection {
    peer: String,
    socket: OwnedFd,
    sending: Mutex<()>,
    receiving: Mutex<Decoder>,
}

impl Connection {
    fn new(socket: OwnedFd, peer: String) -> Self {
        let receiving = Mutex::new(Decoder::new());
        Self { peer, socket, sending: Mutex::new(()), receiving }
    }

    fn encode(&self, message: &impl Serialize) -> Result<Vec<u8>, Error> {
        let payload = serde_json::to_vec(message)
            .map_err(|source| Error::Message { peer: self.peer.clone(), source })?;
        frame::encode(&payload).map_err(|source| self.fail_io("send to", source))
    }

    /// Sends a message for which there is room, so that it does not wait; in an empty buffer there
    /// is room for any.
    fn send_if_room(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let bytes = self.encode(message)?;
        let _guard = lock(&self.sending);
        let socket = self.socket.as_fd();
        let unread = socket::unread_by_peer(socket)?;
        // The kernel counts what holds the bytes, too: up to as much again, and a little for each.
        let wanted = unread.saturating_add(2 * bytes.len()).saturating_add(4096);
        if unread > 0 && wanted > socket::send_buffer(socket)? {
            return Err(Error::Unresponsive { peer: self.peer.clone() });
        }
        Ok(socket::send_with_fds(socket, &bytes, fds)?)
    }

    fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let bytes = self.encode(message)?;
        let _guard = lock(&self.sending);
        Ok(socket::send_with_fds(self.socket.as_fd(), &bytes, fds)?)
    }

    fn receive(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut decoder = lock(&self.receiving);
        let mut buffer = [0; 16 << 10];
        loop {
            let next = decoder.next_frame().map_err(|source| self.fail_io("read from", source))?;
            if next.is_some() {
                return Ok(next);
            }
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) | Err(Errno::CONNRESET) => return Ok(None),
                Ok(count) => decoder.push(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], None);
                }
                Err(errno) => return Err(self.fail("read from", errno)),
            }
        }
    }

    fn duplicate(&self) -> Result<OwnedFd, Error> {
        self.socket
            .try_clone()
            .map_err(|source| self.fail_io("duplicate the connection to", source))
    }

    fn fail(&self, operation: &'static str, errno: Errno) -> Error {
        self.fail_io(operation, errno.into())
    }

    fn fail_io(&self, operation: &'static str, source: io::Error) -> Error {
        Error::Socket { operation, peer: self.peer.clone(), source }
    }
}

/// A panic of another caller while it held the lock leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
