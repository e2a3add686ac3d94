//! The sparse index beside a log file.
//!
//! ```text
//! 8 bytes   "brigidx1"
//! 8 bytes   the file's generation: 1 for the first file of a log, one more for each next one
//! 32 bytes  for each block: end offset, lines, earliest time, latest time
//! …         (all little-endian u64)
//! ```
//! A block begins where the one before ended and is at least [`BLOCK`] bytes long; the end of the
//! file, less than a block, is not in the index. The index is a hint: with a missing or wrong one a
//! reader reads more, and finds the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The shortest block, in bytes of the log.
pub(super) const BLOCK: u64 = 64 << 10;

const MAGIC: &[u8; 8] = b"brigidx1";
const HEADER: usize = 16;
const RECORD: usize = 32;

/// One stretch of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Offset of the first byte after it.
    pub(super) end: u64,
    /// Lines in it.
    pub(super) lines: u64,
    /// The earliest time in it (the clock may jump).
    pub(super) earliest: u64,
    /// The latest time in it.
    pub(super) latest: u64,
}

impl Block {
    /// A block with nothing in it yet.
    pub(super) fn empty(end: u64) -> Self {
        Self { end, lines: 0, earliest: u64::MAX, latest: 0 }
    }

    /// Adds lines of one time.
    pub(super) fn add(&mut self, bytes: u64, lines: u64, time: u64) {
        self.end += bytes;
        self.lines += lines;
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
    }

    fn encode(&self) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let values = [self.end, self.lines, self.earliest, self.latest];
        for (place, value) in record.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        record
    }
}

/// An index as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// Which file of the log this is about.
    pub(super) generation: u64,
    /// In order.
    pub(super) blocks: Vec<Block>,
}

impl Index {
    /// The offset up to which the index reaches.
    pub(super) fn end(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.end)
    }
}

/// Reads an index; `None` when there is none, or it is none of ours.
pub(super) fn read(path: &Path) -> Option<Index> {
    parse(&std::fs::read(path).ok()?)
}

/// Only the generation.
pub(super) fn read_generation(path: &Path) -> Option<u64> {
    let mut header = [0; HEADER];
    File::open(path).ok()?.read_exact_at(&mut header, 0).ok()?;
    parse(&header).map(|index| index.generation)
}

fn parse(bytes: &[u8]) -> Option<Index> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let mut blocks: Vec<Block> = Vec::new();
    for record in rest.chunks_exact(RECORD) {
        let mut values =
            record.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
        let mut next = || values.next().unwrap_or(0);
        let block = Block { end: next(), lines: next(), earliest: next(), latest: next() };
        if blocks.last().is_some_and(|last| last.end > block.end) {
            return None;
        }
        blocks.push(block);
    }
    Some(Index { generation: u64::from_le_bytes(*generation), blocks })
}

/// Appends blocks to an index; by default to none.
#[derive(Debug, Default)]
pub(super) struct IndexWriter {
    file: Option<File>,
}

impl IndexWriter {
    /// Puts a new index at `path`, whole at once.
    pub(super) fn create(path: &Path, index: &Index) -> Self {
        Self { file: create(path, index).ok() }
    }

    /// Goes on with the one at `path`.
    pub(super) fn open(path: &Path) -> Self {
        Self { file: OpenOptions::new().append(true).open(path).ok() }
    }

    /// Appends one block. After a failure no more are written: the rest of the file is then read
    /// without an index.
    pub(super) fn append(&mut self, block: &Block) {
        if let Some(file) = &mut self.file
            && file.write_all(&block.encode()).is_err()
        {
            self.file = None;
        }
    }
}

fn create(path: &Path, index: &Index) -> io::Result<File> {
    let mut bytes = Vec::with_capacity(HEADER + RECORD * index.blocks.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&index.generation.to_le_bytes());
    for block in &index.blocks {
        bytes.extend_from_slice(&block.encode());
    }
    let temporary = super::files::with_suffix(path, ".tmp");
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(&temporary)?;
    file.set_len(0)?;
    let result = file.write_all(&bytes).and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    result.map(|()| file)
}

#[cfg(test)]
mod tests {
    use super::{Block, Index, IndexWriter, read, read_generation};

    #[test]
    fn comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.index");
        let mut block = Block::empty(0);
        block.add(100, 2, 50);
        block.add(100, 1, 40);
        let mut index = Index { generation: 7, blocks: vec![block] };
        let mut writer = IndexWriter::create(&path, &index);
        let next = Block { end: 300, ..block };
        writer.append(&next);
        index.blocks.push(next);
        assert_eq!(read(&path).unwrap(), index);
        assert_eq!(read_generation(&path), Some(7));
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(read(&path), None);
    }
}
