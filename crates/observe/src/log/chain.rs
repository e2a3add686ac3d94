//! The files of a log as a reader finds them.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::files;
use super::index::{self, Index};

/// How often a reader looks again when names change while it looks. A rotation takes a fraction of
/// a millisecond; one that was cut short for good is made good by the next writer.
const TRIES: usize = 1000;

/// One open file of a log.
#[derive(Debug)]
pub(super) struct Part {
    /// Counts a log's files from its beginning; `None` when the index is missing.
    pub(super) generation: Option<u64>,
    pub(super) file: File,
    pub(super) is_compressed: bool,
    pub(super) index: Option<Index>,
}

impl Part {
    fn open(path: &Path, index: &Path, is_compressed: bool) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let index = index::read(index);
        let generation = index.as_ref().map(|index| index.generation);
        Ok(Some(Self { generation, file, is_compressed, index }))
    }
}

/// Opens all files, the oldest first; none when there is no log.
pub(super) fn open(path: &Path) -> io::Result<Vec<Part>> {
    let current = files::index(path, 0);
    for attempt in 0.. {
        let before = index::read_generation(&current);
        let parts = open_once(path)?;
        let is_settled = before.is_some() && before == index::read_generation(&current);
        if is_settled || attempt == TRIES || parts.is_empty() {
            return Ok(parts);
        }
        std::thread::yield_now();
    }
    Ok(Vec::new())
}

fn open_once(path: &Path) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for number in 1.. {
        let index = files::index(path, number);
        let plain = Part::open(&files::rotated(path, number), &index, false)?;
        let part = match plain {
            Some(part) => Some(part),
            None => Part::open(&files::compressed(path, number), &index, true)?,
        };
        match part {
            Some(part) => parts.insert(0, part),
            None => break,
        }
    }
    parts.extend(Part::open(path, &files::index(path, 0), false)?);
    Ok(parts)
}

/// Whether `path` is (still) the name of this file.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}
