//! Why a daemon does not start, or ends with an error.

use std::io;
use std::path::PathBuf;

use stdx::ErrorKind;

/// The result of starting or running a daemon.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation of the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {operation} {object}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("cannot prepare the daemon's process")]
    Kernel(#[source] linux::Error),
    /// The configuration file cannot be understood.
    #[error("configuration {}: {reason}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong and in which line.
        reason: String,
    },
    /// An address to listen on that is not served.
    #[error("cannot listen on {address}: {reason}")]
    Address {
        /// The address as given.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// Somebody else answers on a socket.
    #[error("another daemon answers on {}", .0.display())]
    SocketInUse(PathBuf),
    /// The engine could not be opened.
    #[error("cannot open the engine")]
    Engine(#[source] engine::Error),
    /// A daemon was started for a command and failed.
    #[error("the daemon did not start: {reason}{}", tail_of(log))]
    NotStarted {
        /// What it said.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// A daemon holds the root but does not answer.
    #[error("the daemon with process id {pid} holds {} but does not answer on its socket", root.display())]
    NotAnswering {
        /// Its process id.
        pid: u32,
        /// The data directory.
        root: PathBuf,
    },
}

fn tail_of(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("\nthe end of its log:\n{log}") }
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        object: impl Into<String>,
        source: io::Error,
    ) -> Self {
        Self::Io { operation, object: object.into(), source }
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Kernel(error) => error.kind(),
            Self::Configuration { .. } | Self::Address { .. } => ErrorKind::InvalidInput,
            Self::SocketInUse(_) => ErrorKind::Conflict,
            Self::Engine(error) => error.kind(),
            Self::NotStarted { .. } | Self::NotAnswering { .. } => ErrorKind::Unavailable,
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAnswering { .. } => {
                Some("it is starting or ending; try again, or look at its log")
            }
            Self::Address { .. } => {
                Some("listen on a loopback address, or forward the socket by ssh")
            }
            _ => None,
        }
    }
}
