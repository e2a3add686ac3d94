//! This room's errors.

use std::io;
use std::path::PathBuf;

use stdx::ErrorKind;

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the log could not be opened, read, written or renamed.
    #[error("{operation} {path}", path = path.display())]
    File {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The kernel refused something that is not about a file.
    #[error(transparent)]
    Linux(#[from] linux::Error),
}

impl Error {
    pub(crate) fn file(operation: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }

    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } => ErrorKind::of_io(source),
            Self::Linux(error) => error.kind(),
        }
    }
}
