//! The one error of this room: an operation, its object, and what the kernel said.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;
use stdx::ErrorKind;

/// A call to the kernel failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}{}", source.raw_os_error().map_or("", advice))]
pub struct Error {
    operation: &'static str,
    object: String,
    source: io::Error,
}

impl Error {
    /// The operation as a verb in lower case, and what it was applied to.
    pub fn new(operation: &'static str, object: impl Display, errno: Errno) -> Self {
        Self { operation, object: object.to_string(), source: errno.into() }
    }

    /// As [`Error::new`], from an error of the standard library.
    pub fn from_io(operation: &'static str, object: impl Display, error: &io::Error) -> Self {
        let source = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        Self { operation, object: object.to_string(), source }
    }

    /// The kernel's error number, if it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.source.raw_os_error().map(Errno::from_raw_os_error)
    }

    /// Whether a path leads nowhere.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of_io(&self.source)
    }
}

/// What helps whom the kernel has answered with this error number, behind a space; or nothing.
#[must_use]
pub fn advice(errno: i32) -> &'static str {
    match Errno::from_raw_os_error(errno) {
        Errno::NOSYS => {
            " (needs Linux 5.15 or newer, and no sandbox around it that is older and hides its calls)"
        }
        _ => "",
    }
}
