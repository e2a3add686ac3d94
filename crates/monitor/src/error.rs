//! This room's errors.

use std::io;

use stdx::ErrorKind;

/// What can go wrong in launcher, monitor, or while speaking to one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Talking over a socket failed.
    #[error("{operation} {peer}")]
    Socket {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Who is at the other end.
        peer: String,
        /// What the system says.
        source: io::Error,
    },
    /// A message that is none of ours.
    #[error("understand the message of {peer}")]
    Message {
        /// Who sent it.
        peer: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// The other end speaks another version of the protocol.
    #[error("speak protocol version {theirs} ({ours} is known)")]
    Version {
        /// The peer's.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// A file of the container's run directory.
    #[error("{operation} {path}")]
    File {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The other end does not read, and there is no room for more.
    #[error("reach {peer}: it does not react")]
    Unresponsive {
        /// Who.
        peer: String,
    },
    /// There is no exec of this id.
    #[error("find exec {0}")]
    NoExec(String),
    /// The process has no terminal to resize, or no input to attach to.
    #[error("{0}")]
    Impossible(&'static str),
    /// The kernel refused.
    #[error(transparent)]
    Linux(#[from] linux::Error),
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] observe::Error),
    /// The container could not be made or started.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
}

impl Error {
    /// Whether a connection failed because nobody is there: no socket, or one that nobody has open.
    #[must_use]
    pub fn nobody_listens(&self) -> bool {
        use rustix::io::Errno;
        let Self::Linux(error) = self else { return false };
        matches!(error.errno(), Some(Errno::NOENT | Errno::CONNREFUSED))
    }

    /// Whether the other end is there but does not react.
    #[must_use]
    pub fn is_unresponsive(&self) -> bool {
        matches!(self, Self::Unresponsive { .. })
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Socket { source, .. } | Self::File { source, .. } => ErrorKind::of_io(source),
            Self::Message { .. } => ErrorKind::InvalidInput,
            Self::Unresponsive { .. } => ErrorKind::Unavailable,
            Self::Version { .. } => ErrorKind::Unsupported,
            Self::NoExec(_) => ErrorKind::NotFound,
            Self::Impossible(_) => ErrorKind::Conflict,
            Self::Linux(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
        }
    }
}
