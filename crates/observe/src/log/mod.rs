//! One container's log.
//!
//! ```text
//! <path>              the current file: {"log":"…\n","stream":"stdout","time":"RFC 3339, ns"} a line
//! <path>.index        its sparse time index: a generation number, then for each 64 KiB block
//!                     offset, lines, earliest and latest time
//! <path>.1.gz         the file before it, compressed (or <path>.1 while not yet)
//! <path>.1.index      its index; offsets are those of the uncompressed bytes
//! …                   <path>.N, N < max_files
//! ```
//! The writer is single-threaded and never waits for a reader; a reader needs no lock: it sees by
//! the generation number in the index that files were renamed under it, and looks again.

mod chain;
mod compression;
mod encode;
mod entry;
mod files;
mod follow;
mod index;
mod options;
mod reader;
mod reverse;
mod source;
mod timestamp;
mod writer;

pub use compression::Compression;
pub use entry::{Entry, Stream};
pub use follow::Stop;
pub use options::{LogOptions, Query};
pub use reader::Reader;
pub use writer::Writer;
