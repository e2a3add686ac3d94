//! Copying one directory's content into another, both held open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::Error;

/// Copies everything in `source` into the empty directory `target`: files, directories, links, with
/// owners and modes. Devices, sockets and pipes are left out. Links are copied, never followed.
///
/// # Errors
/// What the kernel says.
pub fn copy_tree(source: impl AsFd, target: impl AsFd) -> Result<(), Error> {
    copy(source.as_fd(), target.as_fd())
        .map_err(|errno| Error::new("copy", "a directory's content", errno))
}

fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let listing = open(source, c".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    for entry in Dir::read_from(&listing)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let status = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(target, name, mode)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                copy(open(source, name, flags)?.as_fd(), open(target, name, flags)?.as_fd())?;
            }
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(source, name, Vec::new())?;
                rustix::fs::symlinkat(&text, target, name)?;
            }
            FileType::RegularFile => {
                let from = open(source, name, OFlags::RDONLY)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let to = rustix::fs::openat(target, name, flags, mode)?;
                copy_content(&from, &to)?;
            }
            _ => continue,
        }
        set_owner(target, name, &status)?;
    }
    Ok(())
}

fn copy_content(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    while rustix::fs::sendfile(to, from, None, 1 << 30)? > 0 {}
    Ok(())
}

fn set_owner(directory: BorrowedFd<'_>, name: &std::ffi::CStr, status: &Stat) -> Result<(), Errno> {
    let user = rustix::fs::Uid::from_raw(status.st_uid);
    let group = rustix::fs::Gid::from_raw(status.st_gid);
    rustix::fs::chownat(directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Symlink {
        return Ok(());
    }
    // Changing the owner takes set-user-id bits away.
    rustix::fs::chmodat(
        directory,
        name,
        Mode::from_raw_mode(status.st_mode & 0o7777),
        AtFlags::empty(),
    )
}

fn open(directory: BorrowedFd<'_>, name: &std::ffi::CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}
