//! Copying a tree with everything that belongs to its files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::walk::{Found, each, open_directory};

/// Copies what is in `from` into `to`, and gives `to` the owner, mode, attributes and times of
/// `from`. Both are open directories; no link is followed.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut copy = Copy { links: HashMap::new(), root: to };
    copy.directory(from, to, Path::new(""))
}

struct Copy<'a> {
    /// Files with several names: where the first one went, as a path below the root.
    links: HashMap<(u64, u64), OsString>,
    root: BorrowedFd<'a>,
}

impl Copy<'_> {
    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &Path,
    ) -> io::Result<()> {
        let mut failure = None;
        each(from, &mut |found| match self.entry(found, to, &path.join(found.name)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
                failure = Some(error);
                Err(errno)
            }
        })
        .map_err(|errno| failure.take().unwrap_or_else(|| errno.into()))?;
        let status = rustix::fs::fstat(from)?;
        rustix::fs::fchown(
            to,
            Some(Uid::from_raw(status.st_uid)),
            Some(Gid::from_raw(status.st_gid)),
        )?;
        rustix::fs::fchmod(to, Mode::from_raw_mode(status.st_mode & 0o7777))?;
        copy_attributes(&through(from, OsStr::new(".")), &through(to, OsStr::new(".")))?;
        rustix::fs::futimens(to, &times(&status))?;
        Ok(())
    }

    fn entry(&mut self, found: &Found<'_>, to: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
        let name = found.name.as_os_str();
        if found.file_type() == FileType::Directory {
            rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            let from = open_directory(found.parent, Path::new(name))?;
            let to = open_directory(to, Path::new(name))?;
            return self.directory(from.as_fd(), to.as_fd(), path);
        }
        let status = &found.status;
        if status.st_nlink > 1 {
            let key = (status.st_dev, status.st_ino);
            if let Some(first) = self.links.get(&key) {
                return Ok(rustix::fs::linkat(self.root, first, to, name, AtFlags::empty())?);
            }
            self.links.insert(key, path.as_os_str().to_owned());
        }
        self.make(found, to)?;
        let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
        rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if found.file_type() != FileType::Symlink {
            let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
        copy_attributes(&through(found.parent, name), &through(to, name))?;
        rustix::fs::utimensat(to, name, &times(status), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    fn make(&self, found: &Found<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
        let name = found.name.as_os_str();
        match found.file_type() {
            FileType::RegularFile => copy_file(found, to),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(found.parent, name, Vec::new())?;
                Ok(rustix::fs::symlinkat(target, to, name)?)
            }
            file_type => {
                let mode = Mode::from_raw_mode(0o600);
                Ok(rustix::fs::mknodat(to, name, file_type, mode, found.status.st_rdev)?)
            }
        }
    }
}

fn copy_file(found: &Found<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let name = found.name.as_os_str();
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from: OwnedFd = rustix::fs::openat(found.parent, name, read, Mode::empty())?;
    let to: OwnedFd = rustix::fs::openat(to, name, write, Mode::from_raw_mode(0o600))?;
    // The standard library copies by reflink or in the kernel where it can.
    io::copy(&mut File::from(from), &mut File::from(to)).map(|_| ())
}

fn times(status: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    }
}

/// A name in an open directory as a path for the calls that take nothing else.
fn through(parent: BorrowedFd<'_>, name: &OsStr) -> OsString {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    OsString::from_vec(path)
}

/// All extended attributes but overlay's own and the host's labels.
fn copy_attributes(from: &OsStr, to: &OsStr) -> io::Result<()> {
    let mut list = vec![0_u8; 64 << 10];
    let length = match rustix::fs::llistxattr(from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let names = list.get(..length).unwrap_or_default().split(|&byte| byte == 0);
    let wanted = |name: &&[u8]| {
        !name.is_empty() && !name.starts_with(b"trusted.overlay.") && *name != b"security.selinux"
    };
    for name in names.filter(wanted) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0_u8; 64 << 10];
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        let value = value.get(..length).unwrap_or_default();
        match rustix::fs::lsetxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
