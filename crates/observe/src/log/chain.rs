//! The files of a log as a reader finds them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use linux::event::{Epoll, Interest};
use linux::inotify::{Inotify, Watch};

use super::files;
use super::index::{self, Index};
use crate::Error;

/// How long a reader waits for a rotation to end. One takes a fraction of a millisecond unless its
/// writer is held up; one that was cut short for good is made good by the next writer.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// Opens all files, the oldest first; none when there is no log. Waits while a rotation renames
/// them.
pub(super) fn open(path: &Path) -> Result<Vec<Part>, Error> {
    let fail = |source| Error::file("read the log", path, source);
    if let Some(parts) = open_settled(path).map_err(fail)? {
        return Ok(parts);
    }
    let inotify = Inotify::new()?;
    inotify.add(files::directory(path), Watch::CREATE | Watch::MOVED_TO)?;
    let epoll = Epoll::new()?;
    epoll.add(inotify.as_fd(), 0, Interest::IN)?;
    let start = Instant::now();
    loop {
        if let Some(parts) = open_settled(path).map_err(fail)? {
            return Ok(parts);
        }
        let Some(rest) = PATIENCE.checked_sub(start.elapsed()) else {
            return open_once(path).map_err(fail);
        };
        epoll.wait(Some(rest), &mut Vec::new())?;
        inotify.drain()?;
    }
}

/// Opens all files; `None` when a rotation changed names meanwhile.
///
/// A rotation first makes the next file under a name of its own and puts the current index aside;
/// a new index, then the next file's rename are its last acts. So names stand still as long as one
/// generation is in the current index and there is no next file.
fn open_settled(path: &Path) -> io::Result<Option<Vec<Part>>> {
    let generation = || index::read_generation(&files::index(path, 0));
    let before = generation();
    let is_rotating = files::next(path).exists();
    let parts = open_once(path)?;
    let is_settled = !is_rotating && before == generation();
    // The log's own name is always there in a rotation: without it there is no log.
    Ok((is_settled || parts.is_empty()).then_some(parts))
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
