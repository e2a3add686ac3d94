//! A directory that is the whole world for the paths given to it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::walk;
use crate::Error;

/// A root directory, open.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

/// A device node or pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A character device with major and minor number.
    Character(u32, u32),
    /// A block device with major and minor number.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Root {
    /// A directory of the host as root.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| Error::new("open directory", path.display(), errno))?;
        Ok(Self { directory })
    }

    /// A directory, or the root of a mount, that is open already.
    #[must_use]
    pub fn from_fd(directory: OwnedFd) -> Self {
        Self { directory }
    }

    /// Opens a path inside with these flags (close-on-exec is added).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
        self.resolve(path, flags, Mode::empty())
            .map_err(|errno| Error::new("open", path.display(), errno))
    }

    /// A handle on whatever is at the path, links followed, good for mounts and look-ups only.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn locate(&self, path: &Path) -> Result<OwnedFd, Error> {
        self.open_at(path, OFlags::PATH)
    }

    /// As [`Root::locate`], but the last component is not followed when it is a link.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn locate_itself(&self, path: &Path) -> Result<OwnedFd, Error> {
        self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// As [`Root::locate`]; `None` when there is nothing.
    ///
    /// # Errors
    /// What the kernel says, but not that there is nothing.
    pub fn find(&self, path: &Path) -> Result<Option<OwnedFd>, Error> {
        match self.resolve(path, OFlags::PATH, Mode::empty()) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(Error::new("open", path.display(), errno)),
        }
    }

    /// Opens or makes a regular file for writing, with parents; links are followed, inside.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn create_file(&self, path: &Path, mode: u32) -> Result<OwnedFd, Error> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
        let open = || self.resolve(path, flags, Mode::from_raw_mode(mode));
        let result = match open() {
            Err(Errno::NOENT) => {
                if let Some(parent) = path.parent() {
                    drop(self.create_dir_all(parent, 0o755)?);
                }
                open()
            }
            other => other,
        };
        result.map_err(|errno| Error::new("create file", path.display(), errno))
    }

    /// A handle on the directory at the path, made with its parents where missing; links are
    /// followed, inside, also those that lead to directories still to be made.
    ///
    /// # Errors
    /// `ENOTDIR` when something on the way is no directory; otherwise what the kernel says.
    pub fn create_dir_all(&self, path: &Path, mode: u32) -> Result<OwnedFd, Error> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(directory),
            Err(Errno::NOENT) => walk::create_dir_all(self.directory.as_fd(), path, mode)
                .map_err(|errno| Error::new("create directory", path.display(), errno)),
            Err(errno) => Err(Error::new("open directory", path.display(), errno)),
        }
    }

    /// Makes a symbolic link with this text at the path, whose parent must exist.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn symlink(&self, target: &Path, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent_of(path)?;
        rustix::fs::symlinkat(target, &parent, &name)
            .map_err(|errno| Error::new("make link", path.display(), errno))
    }

    /// The text of the symbolic link at the path.
    ///
    /// # Errors
    /// `EINVAL` when it is no link.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf, Error> {
        let link = self.locate_itself(path)?;
        let text = rustix::fs::readlinkat(&link, "", Vec::new())
            .map_err(|errno| Error::new("read link", path.display(), errno))?;
        Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
    }

    /// What is at the path, links followed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn metadata(&self, path: &Path) -> Result<Stat, Error> {
        stat_of(&self.locate(path)?, path)
    }

    /// What is at the path, the last component not followed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn metadata_itself(&self, path: &Path) -> Result<Stat, Error> {
        stat_of(&self.locate_itself(path)?, path)
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// `EFBIG` when it is larger, `EINVAL` when it is no regular file.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
        let fail = |errno| Error::new("read", path.display(), errno);
        let file = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let status = stat_of(&file, path)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(fail(Errno::INVAL));
        }
        let mut content = Vec::new();
        File::from(file)
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| Error::from_io("read", path.display(), &error))?;
        if content.len() as u64 > limit { Err(fail(Errno::FBIG)) } else { Ok(content) }
    }

    /// Removes a file or link.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove_file(&self, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent_of(path)?;
        rustix::fs::unlinkat(&parent, &name, AtFlags::empty())
            .map_err(|errno| Error::new("remove", path.display(), errno))
    }

    /// The open parent directory of a path, and the path's last component.
    ///
    /// # Errors
    /// `EINVAL` when the path has no last component (`/`, `a/..`).
    pub fn parent_of(&self, path: &Path) -> Result<(OwnedFd, OsString), Error> {
        let Some(name) = path.file_name() else {
            return Err(Error::new("find parent of", path.display(), Errno::INVAL));
        };
        let parent = path.parent().unwrap_or(Path::new("."));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        Ok((self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name.to_owned()))
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        resolve_in(self.directory.as_fd(), path, flags, mode)
    }
}

/// Linux gives up with `EAGAIN` when a rename or mount anywhere happens while it resolves `..`.
fn resolve_in(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let mut attempts = 0;
    loop {
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(directory, path, flags, mode, INSIDE) {
            Err(Errno::AGAIN | Errno::INTR) if attempts < 128 => attempts += 1,
            other => return other,
        }
    }
}

fn stat_of(file: &OwnedFd, path: &Path) -> Result<Stat, Error> {
    rustix::fs::fstat(file).map_err(|errno| Error::new("look at", path.display(), errno))
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
