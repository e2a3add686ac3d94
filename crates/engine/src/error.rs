//! What can go wrong in this room: the operation, its object, and the cause as `source`.

use stdx::ErrorKind;

/// The result of every call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A boxed cause from another room; its own kind is kept beside it.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An operation of the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this id, name or unique prefix.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// No image has this reference, id or unique prefix; the text is the reference as Docker shows it.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No exec has this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// No network has this id or name.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// There is nothing at this path of a container.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// As it was asked for.
        path: String,
        /// The container's name.
        container: String,
    },
    /// It is there, and must not be changed.
    #[error("{0}")]
    Forbidden(String),
    /// More than one object has an id that starts with this.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// The name is taken by another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The wanted name, without slash.
        name: String,
        /// The id of the container that has it.
        id: String,
    },
    /// The request is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// The object's state does not allow the operation.
    #[error("{0}")]
    Conflict(String),
    /// The object already is what was asked for (started, stopped): nothing was done.
    #[error("{0}")]
    NotModified(String),
    /// This version, kernel or machine cannot do it; the text gives the reason.
    #[error("{0}")]
    Unsupported(String),
    /// The container's process could not be started.
    #[error("{message}")]
    StartFailed {
        /// What the runtime said.
        message: String,
        /// 127 (command not found), 126 (cannot be run) or 125 for brig's own failures.
        exit_code: i32,
        /// What kind of failure.
        kind: ErrorKind,
    },
    /// The engine is closing; nothing new is begun.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// An image could not be fetched, read or stored; the cause speaks for itself.
    #[error(transparent)]
    Image(#[from] crate::images::ImageError),
    /// Another room failed.
    #[error("cannot {operation} {object}")]
    Failed {
        /// What was attempted: a verb phrase.
        operation: &'static str,
        /// On which object.
        object: String,
        /// The kind of the cause.
        kind: ErrorKind,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchImage(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchVolume(_)
            | Self::NoSuchNetwork(_)
            | Self::NoSuchPath { .. } => ErrorKind::NotFound,
            Self::Forbidden(_) => ErrorKind::PermissionDenied,
            Self::AmbiguousPrefix(_) | Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::NameTaken { .. } | Self::Conflict(_) | Self::NotModified(_) => {
                ErrorKind::Conflict
            }
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::ShuttingDown => ErrorKind::Unavailable,
            Self::Image(error) => error.kind(),
            Self::StartFailed { kind, .. } | Self::Failed { kind, .. } => *kind,
        }
    }

    /// A failure of another room, with its kind.
    pub fn failed(
        operation: &'static str,
        object: impl Into<String>,
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Failed { operation, object: object.into(), kind, source: source.into() }
    }

    /// A failure of the operating system.
    pub fn io(operation: &'static str, object: impl Into<String>, source: std::io::Error) -> Self {
        Self::failed(operation, object, ErrorKind::of_io(&source), source)
    }
}
