//! Making directories component by component, each from an open descriptor of the one above.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// As many links as the kernel follows.
const LINKS: usize = 40;

/// The directory at `path` below `root`, made where missing. `..` goes back to the descriptor held
/// for the directory above, never to what the kernel would call the parent: a directory that is
/// moved while we stand in it cannot lead out.
pub(super) fn create_dir_all(
    root: BorrowedFd<'_>,
    path: &Path,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    let mut stack: Vec<OwnedFd> = Vec::new();
    let mut rest: Vec<OsString> = reversed(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == "/" {
            stack.clear();
            continue;
        }
        if name == ".." {
            stack.pop();
            continue;
        }
        let here = stack.last().map_or(root, AsFd::as_fd);
        let (entry, file_type) = open_or_make(here, &name, mode)?;
        match file_type {
            FileType::Directory => stack.push(entry),
            FileType::Symlink => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&entry, "", Vec::new())?;
                rest.extend(reversed(Path::new(OsStr::from_bytes(target.as_bytes()))));
            }
            _ => return Err(Errno::NOTDIR),
        }
    }
    match stack.pop() {
        Some(directory) => Ok(directory),
        None => root.try_clone_to_owned().map_err(|_| Errno::MFILE),
    }
}

fn open_or_make(
    here: BorrowedFd<'_>,
    name: &OsStr,
    mode: u32,
) -> Result<(OwnedFd, FileType), Errno> {
    let open = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(here, name, flags, Mode::empty())
    };
    let entry = match open() {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(here, name, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            open()?
        }
        other => other?,
    };
    let file_type = FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode);
    Ok((entry, file_type))
}

/// The components, the last first; `.` is left out, a leading `/` stays as a component.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|component| *component != Component::CurDir);
    let mut names: Vec<OsString> =
        names.map(|component| component.as_os_str().to_owned()).collect();
    names.reverse();
    names
}
