//! What can go wrong on disk.

use std::io;
use std::path::{Path, PathBuf};

use oci::Digest;
use rustix::io::Errno;
use stdx::ErrorKind;

/// The result of an operation of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A call to the operating system failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried: `open`, `rename`, …
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file system is full (or a quota is).
    #[error("no space left on device: cannot {operation} {}", path.display())]
    NoSpace {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Another daemon owns the data directory.
    #[error("{} is in use by another daemon{}", root.display(), process(*pid))]
    InUse {
        /// The data directory.
        root: PathBuf,
        /// The owner's process id, if it could be read.
        pid: Option<u32>,
    },
    /// A directory that is to be ours has somebody else's files.
    #[error("{} is not a directory of brig's: there is `{name}` in it", directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// A file there.
        name: String,
    },
    /// The records were written by a newer brig.
    #[error("records have schema {found}, this version knows {known}")]
    NewerSchema {
        /// The schema found.
        found: u64,
        /// The newest schema known here.
        known: u64,
    },
    /// The database of records failed.
    #[error("cannot {operation} records")]
    Records {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: std::sync::Arc<redb::Error>,
    },
    /// A record cannot be read or written as JSON.
    #[error("cannot {operation} record `{key}` of table {table}")]
    Record {
        /// `encode` or `decode`.
        operation: &'static str,
        /// The table's name.
        table: &'static str,
        /// The record's key.
        key: String,
        /// Why it failed.
        #[source]
        source: serde_json::Error,
    },
    /// Content does not have the digest it should have.
    #[error("wrong digest: want {want}, have {have}")]
    WrongDigest {
        /// The digest asked for.
        want: Digest,
        /// The digest of what came.
        have: Digest,
    },
    /// Content does not have the size it should have.
    #[error("wrong size of {digest}: want {want} bytes, have {have}{}", if *more { " or more" } else { "" })]
    WrongSize {
        /// The content's digest.
        digest: Digest,
        /// The size asked for, in bytes.
        want: u64,
        /// The size of what came, in bytes.
        have: u64,
        /// Whether there was more to come.
        more: bool,
    },
    /// A document in the store is larger than anybody should read into memory.
    #[error("content {digest} has {size} bytes, too large to read at once")]
    TooLarge {
        /// The content's digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// A layer's archive is corrupt or hostile.
    #[error("cannot unpack layer {}", diff_id.short())]
    Layer {
        /// The layer.
        diff_id: Digest,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// Something named does not exist.
    #[error("no such {noun}: {name}")]
    NotFound {
        /// `image`, `volume`, `blob`, `layer`, `container`.
        noun: &'static str,
        /// The name asked for.
        name: String,
    },
    /// Something of that name exists already.
    #[error("{noun} {name} exists already")]
    AlreadyExists {
        /// `volume`, `container`, …
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// The beginning of an id fits several images.
    #[error("`{prefix}` is ambiguous: it is the beginning of {count} image ids")]
    Ambiguous {
        /// The prefix asked for.
        prefix: String,
        /// How many it fits.
        count: usize,
    },
    /// A name breaks the rules for names of its kind.
    #[error("invalid {noun} name `{name}`: {rule}")]
    InvalidName {
        /// `volume`, `container id`, `image`.
        noun: &'static str,
        /// The name, shortened.
        name: String,
        /// The rule.
        rule: &'static str,
    },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Reading or decompressing failed.
    #[error("cannot read the archive")]
    Read {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compression is known but not supported in layers.
    #[error("compression {name} is not supported")]
    Compression {
        /// `xz`, `bzip2`, …
        name: &'static str,
    },
    /// The archive ends in the middle of an entry.
    #[error("the archive is truncated")]
    Truncated,
    /// A header is not a header.
    #[error("malformed header at byte {offset}: {reason}")]
    Header {
        /// Where, in bytes of the uncompressed archive.
        offset: u64,
        /// The rule broken.
        reason: &'static str,
    },
    /// An entry would reach outside, or is otherwise refused.
    #[error("refused entry `{path}`: {reason}")]
    Refused {
        /// The entry's name, shortened and escaped.
        path: String,
        /// The rule broken.
        reason: &'static str,
    },
    /// An entry cannot be written.
    #[error("cannot {operation} `{path}`")]
    Write {
        /// What was tried.
        operation: &'static str,
        /// The entry's name, shortened and escaped.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file system is full, or nearly.
    #[error("no space left on device")]
    NoSpace,
    /// The uncompressed archive is not the one wanted.
    #[error("wrong digest of the uncompressed layer: want {want}, have {have}")]
    WrongDigest {
        /// The diff id asked for.
        want: Digest,
        /// The digest of what came.
        have: Digest,
    },
}

impl ArchiveError {
    /// Whether an entry could not be written because nothing can be written there.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let errno = Errno::ROFS.raw_os_error();
        matches!(self, Self::Write { source, .. } if source.raw_os_error() == Some(errno))
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Error {
    /// The kind a caller acts on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::NoSpace { .. } => ErrorKind::Exhausted,
            Self::InUse { .. } | Self::Foreign { .. } => ErrorKind::Conflict,
            Self::NewerSchema { .. } => ErrorKind::Unsupported,
            Self::Records { source, .. } => match &**source {
                redb::Error::Io(source) => ErrorKind::of_io(source),
                _ => ErrorKind::Internal,
            },
            Self::Record { .. } => ErrorKind::Internal,
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::TooLarge { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Layer { source, .. } => source.kind(),
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::Ambiguous { .. } | Self::InvalidName { .. } => ErrorKind::InvalidInput,
        }
    }

    /// What the user could do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSpace { .. } | Self::Layer { source: ArchiveError::NoSpace, .. } => {
                Some("free space, for example by removing images that are not used")
            }
            Self::InUse { .. } => {
                Some("talk to that daemon, or choose another directory by --root")
            }
            Self::Foreign { .. } => {
                Some("give --root a directory that is empty or that brig has used before")
            }
            Self::NewerSchema { .. } => {
                Some("use the newer brig, or restore the copy it made of the records")
            }
            Self::Ambiguous { .. } => Some("give more digits"),
            _ => None,
        }
    }

    /// An operating-system error, told apart from "no space".
    pub(crate) fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if is_no_space(&source) {
            return Self::NoSpace { operation, path: path.to_owned() };
        }
        Self::Io { operation, path: path.to_owned(), source }
    }

    /// A database error, told apart from "no space".
    pub(crate) fn records(operation: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::records_shared(operation, &std::sync::Arc::new(source.into()))
    }

    /// As [`Self::records`], when several writers get the same error.
    pub(crate) fn records_shared(
        operation: &'static str,
        source: &std::sync::Arc<redb::Error>,
    ) -> Self {
        match &**source {
            redb::Error::Io(error) if is_no_space(error) => {
                Self::NoSpace { operation, path: PathBuf::from("records") }
            }
            _ => Self::Records { operation, source: std::sync::Arc::clone(source) },
        }
    }
}

impl ArchiveError {
    /// The kind a caller acts on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSpace => ErrorKind::Exhausted,
            Self::Compression { .. } => ErrorKind::Unsupported,
            Self::Write { source, .. } => ErrorKind::of_io(source),
            Self::Read { .. }
            | Self::Truncated
            | Self::Header { .. }
            | Self::Refused { .. }
            | Self::WrongDigest { .. } => ErrorKind::InvalidInput,
        }
    }
}

/// ENOSPC, or EDQUOT.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
