//! The launcher: a small process, forked before any thread exists, that forks monitors.

mod beside;
mod restart;
mod serve;

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Stdio};

use linux::process::{PidFd, SingleThreaded};
use rustix::process::Pid;

use crate::Error;
use crate::client::Launcher;

/// The argument by which a daemon that the launcher has started again learns of its launcher: it is
/// appended to [`Restart::arguments`], followed by the number of the inherited socket.
pub const SOCKET_ARGUMENT: &str = "--launcher-socket";

/// The argument by which a program learns that it is to be the launcher of a running daemon,
/// followed by that daemon's process id; its standard input is the connection.
pub const SERVE_ARGUMENT: &str = "--launcher-for";

/// How the launcher behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How to start the daemon again after a crash; `None` leaves that to somebody else (systemd).
    pub restart: Option<Restart>,
    /// The group that the launcher and its monitors move into (absolute, `/brig-<id6>/monitors`),
    /// so that what ends the daemon's group does not end them. It may also come with the first
    /// launch.
    pub cgroup: Option<String>,
}

/// The daemon's own command line. Also that of another launcher ([`execute`]).
#[derive(Debug, Clone)]
pub struct Restart {
    /// The executable: a path, or `/proc/self/exe` for the program that the launcher itself is.
    pub executable: OsString,
    /// All arguments, the zeroth included, without [`SOCKET_ARGUMENT`].
    pub arguments: Vec<OsString>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<OsString>,
}

/// Forks the launcher and returns to the daemon with the client for it.
///
/// A daemon that dies without [`Launcher::shutdown`] is started again within 100 ms; one that dies
/// within a second of its start three times in a row is given up. The launcher itself lives as long
/// as the daemon or a monitor does.
///
/// # Errors
/// When the kernel refuses a socket pair or a process.
pub fn start(token: &SingleThreaded, options: Options) -> Result<Launcher, Error> {
    let (ours, theirs) = linux::socket::stream_pair()?;
    let daemon = PidFd::open(rustix::process::getpid())?;
    linux::process::spawn(token, move || -> Infallible {
        let code = serve::live(theirs, daemon, options).map_or(1, |()| 0);
        linux::process::exit(code)
    })?;
    Ok(Launcher::new(ours))
}

/// Starts a launcher in place of one that has died, by executing this very program again: a daemon
/// with threads cannot fork one. The new program is to call [`serve`]. The process is for the caller
/// to reap, once the launcher's connection has ended.
///
/// # Errors
/// When the kernel refuses a socket pair or a process.
pub fn execute(command: &Restart) -> Result<(Launcher, Child), Error> {
    let (ours, theirs) = linux::socket::stream_pair()?;
    let split = |variable: &OsString| {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (bytes.get(..at)?, bytes.get(at + 1..)?);
        Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()))
    };
    let child = stdx::process::command("/proc/self/exe")
        .args(command.arguments.get(1..).unwrap_or_default())
        .arg(SERVE_ARGUMENT)
        .arg(std::process::id().to_string())
        .env_clear()
        .envs(command.environment.iter().filter_map(split))
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|source| Error::Socket {
            operation: "execute",
            peer: "the launcher".to_owned(),
            source,
        })?;
    Ok((Launcher::new(ours), child))
}

/// Lives as the launcher of the daemon that has called [`execute`]: standard input is the
/// connection to it.
///
/// # Errors
/// When that daemon is gone, or the kernel refuses something.
pub fn serve(_token: &SingleThreaded, daemon: u32, options: Options) -> Result<(), Error> {
    let parent = rustix::process::getppid()
        .filter(|parent| u32::try_from(parent.as_raw_nonzero().get()) == Ok(daemon));
    let parent = parent.ok_or(Error::Impossible("the daemon that wants a launcher is gone"))?;
    let process = PidFd::open(parent)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(|errno| linux::Error::new("duplicate", "the daemon's connection", errno))?;
    serve::live(socket, process, options)
}

/// The client for the launcher that has started this daemon again.
///
/// # Errors
/// When the descriptor is no socket.
pub fn adopt(socket: OwnedFd) -> Result<Launcher, Error> {
    let refuse = |errno: rustix::io::Errno| Error::Socket {
        operation: "adopt",
        peer: "the launcher".to_owned(),
        source: errno.into(),
    };
    rustix::net::sockopt::socket_type(&socket).map_err(refuse)?;
    let flags = rustix::io::FdFlags::CLOEXEC;
    rustix::io::fcntl_setfd(socket.as_fd(), flags).map_err(refuse)?;
    Ok(Launcher::new(socket))
}

/// A pid as the kernel told it.
fn pid(number: i32) -> Option<Pid> {
    Pid::from_raw(number).filter(|_| number > 0)
}
