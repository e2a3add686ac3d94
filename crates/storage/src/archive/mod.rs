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

pub(crate) use reader::Reader;

use crate::ArchiveError;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Character(u32, u32),
    Block(u32, u32),
    Directory,
    Fifo,
}

/// Seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// A run of bytes of a sparse file that is in the archive; the rest is holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// One entry; its data follows in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// The target of a link.
    pub(crate) link: Vec<u8>,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Time,
    /// The size of the file in bytes, holes included.
    pub(crate) size: u64,
    /// Where the data belongs, if not all at the beginning; ascending, not overlapping.
    pub(crate) segments: Option<Vec<Segment>>,
    pub(crate) attributes: Vec<Attribute>,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
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
