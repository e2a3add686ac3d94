//! Copying a tree with everything that belongs to its files.
//!
//! Others may be at work in the target meanwhile: a container that has the same volume mounted and
//! puts links in the place of what was just made. So whatever is changed is changed through a
//! descriptor, and a path is resolved below the target only, never through a link.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
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
        let source = through(from, OsStr::new("."));
        adorn(to, &rustix::fs::fstat(from)?, &source)
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
                return link(self.root, Path::new(first), to, name);
            }
            self.links.insert(key, path.as_os_str().to_owned());
        }
        let made = make(found, to)?;
        adorn(made.as_fd(), status, &through(found.parent, name))
    }
}

/// Another name for what is at a path below `root`.
fn link(root: BorrowedFd<'_>, first: &Path, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = first.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let parent = rustix::fs::openat2(root, parent, flags, Mode::empty(), inside)?;
    let first = first.file_name().unwrap_or_default();
    // Without further flags a link that has taken the file's name is itself linked.
    Ok(rustix::fs::linkat(&parent, first, to, name, AtFlags::empty())?)
}

/// Makes a copy of anything but a directory, open for changing what belongs to it.
fn make(found: &Found<'_>, to: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let name = found.name.as_os_str();
    match found.file_type() {
        FileType::RegularFile => return copy_file(found, to),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(found.parent, name, Vec::new())?;
            rustix::fs::symlinkat(target, to, name)?;
        }
        file_type => {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(to, name, file_type, mode, found.status.st_rdev)?;
        }
    }
    reopen(to, name, &found.status)
}

/// What was just made under a name, unless it is something else by now.
fn reopen(parent: BorrowedFd<'_>, name: &OsStr, wanted: &Stat) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let status = rustix::fs::fstat(&made)?;
    let kind = |status: &Stat| (FileType::from_raw_mode(status.st_mode), status.st_rdev);
    if kind(&status) == kind(wanted) { Ok(made) } else { Err(Errno::STALE.into()) }
}

fn copy_file(found: &Found<'_>, to: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let name = found.name.as_os_str();
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from: OwnedFd = rustix::fs::openat(found.parent, name, read, Mode::empty())?;
    let to: OwnedFd = rustix::fs::openat(to, name, write, Mode::from_raw_mode(0o600))?;
    let mut to = File::from(to);
    // The standard library copies by reflink or in the kernel where it can.
    io::copy(&mut File::from(from), &mut to)?;
    Ok(to.into())
}

/// Gives what is open the owner, mode, attributes and times of the file at `source`.
fn adorn(made: BorrowedFd<'_>, status: &Stat, source: &OsStr) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid));
    rustix::fs::chownat(made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    // Calls that take no descriptor of a link or node go through procfs, which leads to the very
    // thing that is open.
    let itself = format!("/proc/self/fd/{}", made.as_raw_fd());
    if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
        rustix::fs::chmod(&itself, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    }
    copy_attributes(source, &itself)?;
    Ok(rustix::fs::utimensat(made, "", &times(status), AtFlags::EMPTY_PATH)?)
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

/// All extended attributes but overlay's own and the host's labels. `to` is procfs's name of what is
/// open.
fn copy_attributes(from: &OsStr, to: &str) -> io::Result<()> {
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
        match rustix::fs::setxattr(to, name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use rustix::fs::{FileType, Mode};

    use super::{adorn, link, reopen};

    #[test]
    fn what_was_made_is_found_again_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().join("host");
        fs::write(&host, "").unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(0o600)).unwrap();
        let volume = directory.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let open = File::open(&volume).unwrap();
        let name = OsStr::new("pipe");
        rustix::fs::mknodat(&open, name, FileType::Fifo, Mode::empty(), 0).unwrap();
        let mut status = rustix::fs::statat(&open, name, rustix::fs::AtFlags::empty()).unwrap();
        status.st_mode |= 0o4755;
        let made = reopen(open.as_fd(), name, &status).unwrap();
        // Somebody puts a link in its place, before and after we have opened it.
        fs::remove_file(volume.join("pipe")).unwrap();
        symlink(&host, volume.join("pipe")).unwrap();
        adorn(made.as_fd(), &status, host.as_os_str()).unwrap();
        assert_eq!(rustix::fs::fstat(&made).unwrap().st_mode & 0o7777, 0o4755);
        reopen(open.as_fd(), name, &status).unwrap_err();
        assert_eq!(host.metadata().unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn links_are_adorned_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("host"), "").unwrap();
        symlink(path("host"), path("link")).unwrap();
        let open = File::open(directory.path()).unwrap();
        let mut status = rustix::fs::lstat(path("link")).unwrap();
        let made = reopen(open.as_fd(), OsStr::new("link"), &status).unwrap();
        (status.st_uid, status.st_mtime) = (77, 1_000);
        adorn(made.as_fd(), &status, path("link").as_os_str()).unwrap();
        let link = path("link").symlink_metadata().unwrap();
        assert_eq!((link.uid(), link.mtime()), (77, 1_000));
        assert_ne!(path("host").metadata().unwrap().uid(), 77);
    }

    #[test]
    fn another_name_is_never_for_a_file_outside() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().join("host");
        let volume = directory.path().join("volume");
        for path in [host.join("dir"), volume.join("real")] {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("file"), "").unwrap();
        }
        symlink(host.join("dir"), volume.join("swapped")).unwrap();
        let root = File::open(&volume).unwrap();
        let attempt =
            |first: &str| link(root.as_fd(), Path::new(first), root.as_fd(), OsStr::new("second"));
        attempt("swapped/file").unwrap_err();
        attempt("../host/dir/file").unwrap_err();
        assert!(!volume.join("second").exists());
        attempt("real/file").unwrap();
        assert_eq!(volume.join("second").metadata().unwrap().nlink(), 2);
    }
}
