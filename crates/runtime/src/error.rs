//! What can go wrong with a container.

use std::io;

use stdx::ErrorKind;

/// A container or process could not be made or started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("invalid configuration: {member}: {reason}")]
    Invalid {
        /// Where in `config.json`.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The configuration asks for something this version or this machine cannot do.
    #[error("not supported: {feature}")]
    Unsupported {
        /// What.
        feature: String,
    },
    /// A step of the preparation failed, outside of the container.
    #[error("cannot prepare the container")]
    Prepare(#[source] linux::Error),
    /// A step of the set-up failed in the container's own process.
    #[error("cannot set up the container: {operation} {object}")]
    Setup {
        /// What was done, a verb.
        operation: String,
        /// To what.
        object: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be run; the text is what Docker says.
    #[error("unable to start container process: {message}")]
    Command {
        /// `exec: "x": executable file not found in $PATH`.
        message: String,
        /// 127 when there is no such program, 126 when it cannot be executed.
        exit_code: u8,
    },
    /// A hook did not succeed.
    #[error("{message}")]
    Hook {
        /// `error running prestart hook #0: `, what became of it, and what it wrote.
        message: String,
    },
    /// CRIU could not write or read a checkpoint.
    #[error("{message}")]
    Criu {
        /// Its words, the last errors of its log, and where the log is.
        message: String,
    },
    /// systemd could not be asked, or did not do what it was asked for.
    #[error("{message}")]
    Systemd {
        /// What it was to do, and its words.
        message: String,
    },
    /// What was restored is not what the configuration says; it was killed before it ran.
    #[error("the checkpoint does not fit the configuration: {reason}")]
    Unfit {
        /// Which process or mount, and what is different.
        reason: String,
    },
    /// The container's process ended before it said that it was ready.
    #[error("the container's process ended during its set-up ({status})")]
    Ended {
        /// How, in words.
        status: String,
    },
    /// The container's state on disk cannot be read or written.
    #[error("cannot {operation} {path}")]
    State {
        /// A verb.
        operation: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No container of this id.
    #[error("container {id} does not exist")]
    NotFound {
        /// The id.
        id: String,
    },
    /// A container of this id exists.
    #[error("container with given ID already exists: {id}")]
    AlreadyExists {
        /// The id.
        id: String,
    },
    /// The container's status does not allow it.
    #[error("cannot {operation} a container that is {status}")]
    Conflict {
        /// A verb.
        operation: &'static str,
        /// `created`, `running`, `stopped`.
        status: String,
    },
}

impl Error {
    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Unfit { .. } => ErrorKind::InvalidInput,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Prepare(error) => error.kind(),
            Self::Setup { source, .. } | Self::State { source, .. } => ErrorKind::of_io(source),
            Self::Command { exit_code: 127, .. } | Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Command { .. } => ErrorKind::PermissionDenied,
            Self::Ended { .. } | Self::Hook { .. } | Self::Criu { .. } | Self::Systemd { .. } => {
                ErrorKind::Internal
            }
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::Conflict { .. } => ErrorKind::Conflict,
        }
    }

    /// The exit code a shell, and Docker, would give: 127 for no such command, 126 for one that
    /// cannot be executed, otherwise 125.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Command { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }

    pub(crate) fn invalid(member: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { member: member.into(), reason: reason.into() }
    }

    pub(crate) fn unsupported(feature: impl Into<String>) -> Self {
        Self::Unsupported { feature: feature.into() }
    }
}

impl From<linux::Error> for Error {
    fn from(error: linux::Error) -> Self {
        Self::Prepare(error)
    }
}
