//! The small set of error kinds that every room's errors map to.

/// What went wrong, as far as a caller can act on it.
///
/// The kind is mapped once to an HTTP status (daemon), once to an exit code (cli).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The object named does not exist.
    NotFound,
    /// An object of that name exists already.
    AlreadyExists,
    /// The object's present state does not allow the operation.
    Conflict,
    /// The request itself is wrong.
    InvalidInput,
    /// The caller or the process may not do this.
    PermissionDenied,
    /// Something needed does not answer now; trying again may help.
    Unavailable,
    /// Space, memory, addresses or another resource ran out.
    Exhausted,
    /// The caller gave up.
    Cancelled,
    /// This kernel, machine or version of brig cannot do it.
    Unsupported,
    /// A bug, or a failure nobody could foresee.
    Internal,
}

impl ErrorKind {
    /// The kind of an operating-system error.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::NotFound,
            Io::AlreadyExists => Self::AlreadyExists,
            Io::PermissionDenied => Self::PermissionDenied,
            Io::InvalidInput | Io::InvalidData => Self::InvalidInput,
            Io::StorageFull | Io::QuotaExceeded | Io::OutOfMemory => Self::Exhausted,
            Io::Unsupported => Self::Unsupported,
            Io::ConnectionRefused | Io::ConnectionReset | Io::TimedOut | Io::BrokenPipe => {
                Self::Unavailable
            }
            Io::AddrInUse | Io::ResourceBusy => Self::Conflict,
            _ => Self::Internal,
        }
    }
}

/// Formats an error with all its causes, one line: `operation: cause: cause`.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
