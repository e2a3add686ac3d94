//! Visiting every entry of a tree.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::{Error, Result, Usage};

/// Deeper directories are not entered: we may not have that many files open.
const DEPTH: usize = 400;

/// An entry found in an open directory.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) parent: BorrowedFd<'a>,
    pub(super) name: &'a OsString,
    pub(super) status: Stat,
}

impl Found<'_> {
    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.status.st_mode)
    }
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The entries of a directory, sorted by name.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort();
    Ok(names)
}

/// Calls `visit` for each entry of a directory that is still there.
pub(super) fn each(
    directory: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for name in names(directory)? {
        match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => visit(&Found { parent: directory, name: &name, status })?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// What is below a directory, itself not counted.
pub(crate) fn usage(path: &Path) -> Result<Usage> {
    let fail = |errno| Error::io("read", path, errno);
    let directory = File::open(path).map_err(|source| Error::io("read", path, source))?;
    let mut count = Count { usage: Usage::default(), linked: HashSet::new() };
    count.directory(directory.as_fd(), 0).map_err(fail)?;
    Ok(count.usage)
}

struct Count {
    usage: Usage,
    linked: HashSet<(u64, u64)>,
}

impl Count {
    fn directory(&mut self, directory: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
        each(directory, &mut |found| {
            let status = &found.status;
            if found.file_type() == FileType::Directory {
                self.usage.inodes += 1;
                if depth == DEPTH {
                    return Ok(());
                }
                return match open_directory(found.parent, Path::new(found.name)) {
                    Ok(directory) => self.directory(directory.as_fd(), depth + 1),
                    // It was removed meanwhile.
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                    Err(errno) => Err(errno),
                };
            }
            let first = status.st_nlink < 2 || self.linked.insert((status.st_dev, status.st_ino));
            if first {
                self.usage.inodes += 1;
                self.usage.size += u64::try_from(status.st_size).unwrap_or(0);
            }
            Ok(())
        })
    }
}
