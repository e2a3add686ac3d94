//! Reading and writing the small files of a group, relative to its open directory.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::str::FromStr;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

/// Opens a file of a group.
pub(super) fn open(directory: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
    rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open cgroup file", name, errno))
}

/// Writes a value by one `write`, as cgroup files want it.
pub(super) fn write(directory: BorrowedFd<'_>, name: &str, value: &str) -> Result<(), Error> {
    let file = open(directory, name, OFlags::WRONLY)?;
    write_open(&file, name, value)
}

/// As [`write`], to a file that is open.
pub(super) fn write_open(file: &OwnedFd, name: &str, value: &str) -> Result<(), Error> {
    rustix::io::retry_on_intr(|| rustix::io::write(file, value.as_bytes()))
        .map(drop)
        .map_err(|errno| Error::new("write", format_args!("{value:?} to {name}"), errno))
}

/// Reads a whole file.
pub(super) fn read(directory: BorrowedFd<'_>, name: &str) -> Result<String, Error> {
    let file = open(directory, name, OFlags::RDONLY)?;
    read_open(&file, name)
}

/// As [`read`], from the beginning of a file that is open.
pub(super) fn read_open(file: &OwnedFd, name: &str) -> Result<String, Error> {
    let mut text = Vec::with_capacity(512);
    let mut piece = [0; 4096];
    loop {
        let offset = text.len() as u64;
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut piece, offset))
            .map_err(|errno| Error::new("read", name, errno))?;
        if count == 0 {
            return String::from_utf8(text).map_err(|_| Error::new("read", name, Errno::ILSEQ));
        }
        text.extend_from_slice(&piece[..count]);
    }
}

/// Reads a file that may be missing here.
pub(super) fn read_optional(
    directory: BorrowedFd<'_>,
    name: &str,
) -> Result<Option<String>, Error> {
    match read(directory, name) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a single number; `None` for a missing file or `max`.
pub(super) fn read_number<N: FromStr>(
    directory: BorrowedFd<'_>,
    name: &str,
) -> Result<Option<N>, Error> {
    Ok(read_optional(directory, name)?.and_then(|text| text.trim().parse().ok()))
}

/// The number beside `key` in a file of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    pairs(text).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The `key value` lines of a file.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// Whether a file is there.
pub(super) fn exists(directory: BorrowedFd<'_>, name: &str) -> bool {
    rustix::fs::accessat(directory, name, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty())
        .is_ok()
}

/// Whether an error says that the file is not there (or no longer, in a group just removed).
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV))
}
