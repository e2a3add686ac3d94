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

/// How long a reader waits for a rotation in which nothing happens any more. One takes a fraction of
/// a millisecond unless its writer is held up; one that was cut short for good is made good by the
/// next writer.
const PATIENCE: Duration = Duration::from_secs(1);

/// And for a writer that never rests.
const LONGEST: Duration = Duration::from_secs(10);

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
    open_after(path, None)
}

/// As [`open`], the files that came after one of this generation. They are few as a rule, so that a
/// reader who is only a little behind finds them between two rotations of a writer who never rests.
/// None means that there is no log, or nothing newer in it.
pub(super) fn open_after(path: &Path, known: Option<u64>) -> Result<Vec<Part>, Error> {
    let fail = |source| Error::file("read the log", path, source);
    if let Some(parts) = open_settled(path, known).map_err(fail)? {
        return Ok(parts);
    }
    let inotify = Inotify::new()?;
    inotify.add(files::directory(path), Watch::CREATE | Watch::MOVED_TO)?;
    let epoll = Epoll::new()?;
    epoll.add(inotify.as_fd(), 0, Interest::IN)?;
    let begin = Instant::now();
    let mut silent_since = begin;
    loop {
        if let Some(parts) = open_settled(path, known).map_err(fail)? {
            return Ok(parts);
        }
        let Some(rest) = PATIENCE.checked_sub(silent_since.elapsed()) else {
            return open_once(path, known).map_err(fail);
        };
        epoll.wait(Some(rest), &mut Vec::new())?;
        if inotify.drain()? && begin.elapsed() < LONGEST {
            silent_since = Instant::now();
        }
    }
}

/// Opens all files; `None` when a rotation changed names meanwhile.
///
/// A rotation first makes the next file under a name of its own and puts the current index aside;
/// a new index, then the next file's rename are its last acts. So names stand still as long as one
/// generation is in the current index and there is no next file. (An index that is missing looks
/// the same in two rotations, and so everything is asked twice.)
fn open_settled(path: &Path, known: Option<u64>) -> io::Result<Option<Vec<Part>>> {
    let generation = || index::read_generation(&files::index(path, 0));
    let is_rotating = || files::next(path).exists();
    let before = generation();
    let stands_still = || !is_rotating() && before == generation();
    let was_still = stands_still();
    let parts = open_once(path, known)?;
    let is_settled = was_still && before == generation() && stands_still();
    // The log's own name is always there in a rotation: without it there is no log.
    Ok((is_settled || parts.is_empty()).then_some(parts))
}

fn open_once(path: &Path, known: Option<u64>) -> io::Result<Vec<Part>> {
    let is_known = |part: &Part| part.generation.is_some() && part.generation <= known;
    let mut parts = Vec::new();
    for number in 1.. {
        let index = files::index(path, number);
        let plain = Part::open(&files::rotated(path, number), &index, false)?;
        let part = match plain {
            Some(part) => Some(part),
            None => Part::open(&files::compressed(path, number), &index, true)?,
        };
        match part {
            Some(part) if !is_known(&part) => parts.insert(0, part),
            _ => break,
        }
    }
    let current = Part::open(path, &files::index(path, 0), false)?;
    parts.extend(current.filter(|part| !is_known(part)));
    Ok(parts)
}

/// Whether `path` is (still) the name of this file.
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{open, open_after};
    use crate::log::{LogOptions, Stream, Writer};

    #[test]
    fn a_reader_who_knows_some_files_opens_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let options = LogOptions { max_size: 100, max_files: 10, compress: false };
        let mut writer = Writer::open(&path, options).unwrap();
        for _ in 0..12 {
            writer.write(Stream::Stdout, b"a line of some length\n");
        }
        let all: Vec<u64> =
            open(&path).unwrap().iter().map(|part| part.generation.unwrap()).collect();
        assert!(all.len() > 3 && all.is_sorted(), "{all:?}");
        for (number, known) in all.iter().enumerate() {
            let after = open_after(&path, Some(*known)).unwrap();
            let after: Vec<u64> = after.iter().map(|part| part.generation.unwrap()).collect();
            assert_eq!(after, all[number + 1..]);
        }
    }
}
