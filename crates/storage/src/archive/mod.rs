//! Tape archives, read as a stream: POSIX pax, GNU and ustar, with long names, extended attributes
//! and sparse files in all four of their forms.
//!
//! Only headers are understood here; nothing is written. Every length that a stranger may choose is
//! bounded before memory is taken for it, and there is one rule for how long an entry's data is
//! (pax `size` before the header's), so that no two readers of ours disagree on where the next
//! header begins.

mod header;
mod pax;
mod reader;
mod sparse;

pub use reader::{Contents, Reader};

use crate::ArchiveError;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device with major and minor number.
    Character(u32, u32),
    /// A block device with major and minor number.
    Block(u32, u32),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// Seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds.
    pub seconds: i64,
    /// What is over them.
    pub nanoseconds: u32,
}

/// A run of bytes of a sparse file that is in the archive; the rest is holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it belongs in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
}

/// One entry; its data follows in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as a stranger wrote it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The target of a link.
    pub link: Vec<u8>,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content was last changed.
    pub modified: Time,
    /// The size of the file in bytes, holes included.
    pub size: u64,
    /// Where the data belongs, if not all at the beginning; ascending, not overlapping.
    pub segments: Option<Vec<Segment>>,
    /// Extended attributes.
    pub attributes: Vec<Attribute>,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, with the namespace.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// Bytes in a block, the unit of everything in an archive.
const BLOCK: usize = 512;
/// The longest pax header or sparse map in bytes; Go's reader has the same bound.
const MAX_EXTENSION: u64 = 1 << 20;
/// The longest name in bytes; Linux takes no longer one.
const MAX_NAME: u64 = 4096;

/// Strangers' bytes in an error message: lossy, escaped, short.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(120).flat_map(char::escape_debug).collect()
}

const fn malformed(offset: u64, reason: &'static str) -> ArchiveError {
    ArchiveError::Header { offset, reason }
}
