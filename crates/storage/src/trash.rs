//! Throwing away: a rename, which is instant and survives a crash; the work comes later.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Directories this deep are first moved up: a stranger's tree may be deeper than we may have files
/// open.
const DEPTH: usize = 48;

/// The trash directory, on the file system of everything that is thrown into it.
#[derive(Debug)]
pub(crate) struct Trash {
    path: PathBuf,
    directory: OwnedFd,
}

impl Trash {
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(|errno| Error::io("open", &path, errno))?;
        Ok(Self { path, directory })
    }

    /// Throws away a path of the host; says whether there was anything.
    pub(crate) fn take(&self, path: &Path) -> Result<bool> {
        match self.take_at(CWD, path.as_os_str()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io("discard", path, errno)),
        }
    }

    /// Throws away what is in a directory under that name.
    pub(crate) fn take_at(&self, parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::renameat(parent, name, &self.directory, fresh_name())
    }

    /// Throws away a path of the host and removes it at once.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        let name = fresh_name();
        match rustix::fs::renameat(CWD, path, &self.directory, &name) {
            Ok(()) => self.remove_all(name.as_ref()),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("discard", path, errno)),
        }
    }

    /// Removes everything thrown away so far, goes on after an error and returns the first.
    pub(crate) fn empty(&self) -> Result<usize> {
        let mut names = Vec::new();
        read_names(self.directory.as_fd(), &mut |name, _| names.push(name.to_owned()))
            .map_err(|errno| Error::io("read", &self.path, errno))?;
        let results = names.iter().map(|name| self.remove_all(os(name)));
        let mut first = Ok(());
        let mut count = 0;
        for result in results {
            match result {
                Ok(()) => count += 1,
                Err(error) if first.is_ok() => first = Err(error),
                Err(_) => {}
            }
        }
        first.map(|()| count)
    }

    fn remove_all(&self, name: &OsStr) -> Result<()> {
        let mut moved = vec![name.to_owned()];
        while let Some(name) = moved.pop() {
            let mut removal = Removal { dump: self.directory.as_fd(), moved: Vec::new() };
            match removal.remove(self.directory.as_fd(), &name, 0) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::io("remove", &self.path.join(&name), errno)),
            }
            moved.append(&mut removal.moved);
        }
        Ok(())
    }
}

struct Removal<'a> {
    dump: BorrowedFd<'a>,
    moved: Vec<std::ffi::OsString>,
}

impl Removal<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<(), Errno> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            other => return other,
        }
        if depth == DEPTH {
            let fresh = fresh_name();
            rustix::fs::renameat(parent, name, self.dump, &fresh)?;
            self.moved.push(fresh.into());
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let mut result = Ok(());
        let mut directories = Vec::new();
        let mut remove = |name: &CStr, file_type: FileType| {
            if file_type == FileType::Directory {
                directories.push(name.to_owned());
                return;
            }
            match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR) => directories.push(name.to_owned()),
                Err(errno) => result = Err(errno),
            }
        };
        read_names(directory.as_fd(), &mut remove)?;
        for name in directories {
            let removed = self.remove(directory.as_fd(), os(&name), depth + 1);
            result = result.and(removed);
        }
        result.and_then(|()| rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
    }
}

/// Calls `visit` with each name but `.` and `..`.
fn read_names(
    directory: BorrowedFd<'_>,
    visit: &mut dyn FnMut(&CStr, FileType),
) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            visit(entry.file_name(), entry.file_type());
        }
    }
    Ok(())
}

fn os(name: &CStr) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes())
}

fn fresh_name() -> String {
    stdx::hex::encode(&stdx::random::bytes::<12>())
}

/// Makes a directory with exactly this mode; one that exists is given the mode.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let made = match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    made.and_then(|()| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode)
    })
    .map_err(|source| Error::io("create", path, source))
}

#[cfg(test)]
mod tests {
    use super::Trash;
    use std::fs;

    #[test]
    fn deep_trees_go_away() {
        let root = tempfile::tempdir().unwrap();
        let trash_path = root.path().join("trash");
        fs::create_dir(&trash_path).unwrap();
        let trash = Trash::open(trash_path.clone()).unwrap();
        let tree = root.path().join("tree");
        let mut top = tree.clone();
        // Each round puts the tree so far into a deeper one: paths stay short, the tree gets deep.
        fs::create_dir(&top).unwrap();
        for round in 0..30 {
            let next = root.path().join(format!("t{round}"));
            fs::create_dir_all(next.join("d/".repeat(100))).unwrap();
            fs::rename(&top, next.join("d/".repeat(100)).join("x")).unwrap();
            fs::write(next.join("file"), "x").unwrap();
            top = next;
        }
        assert!(trash.take(&top).unwrap());
        assert!(!trash.take(&top).unwrap());
        fs::write(root.path().join("file"), "x").unwrap();
        trash.take(&root.path().join("file")).unwrap();
        assert_eq!(trash.empty().unwrap(), 2);
        assert_eq!(fs::read_dir(&trash_path).unwrap().count(), 0);
    }
}
