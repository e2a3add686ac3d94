//! Nodes and links in `/dev`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::path::{FileType, Kind, Root};
use rustix::fs::{AtFlags, Gid, Mode, Uid, makedev};
use rustix::io::Errno;

use super::mount::{attach, file_target};
use super::terminal::Terminal;
use crate::channel::Failure;
use crate::plan::DevicePlan;

/// Makes all of them. What exists already stays, as it may be a mount of the caller's.
pub(super) fn all(devices: &[DevicePlan], root: &Root) -> Result<(), Failure> {
    let mut places = Places { root, last: None };
    for device in devices {
        match device {
            DevicePlan::Node { path, kind, mode, owner } => {
                node(&mut places, path, *kind, *mode, *owner)?;
            }
            DevicePlan::Bound { path, kind } => bound(root, path, *kind)?,
            DevicePlan::Link { path, target } => link(&mut places, Path::new(path), target)?,
        }
    }
    Ok(())
}

/// Directories that entries are made in, by descriptor; the last one is kept open, as most entries
/// lie in the same one.
struct Places<'a> {
    root: &'a Root,
    last: Option<(PathBuf, OwnedFd)>,
}

impl Places<'_> {
    /// The directory an entry lies in, made if missing, and the entry's name there.
    fn of<'a>(&mut self, path: &'a Path) -> Result<(&OwnedFd, &'a OsStr), Failure> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(linux::Error::new("make", path.display(), Errno::INVAL).into());
        };
        let known = self.last.take().filter(|(known, _)| known == parent);
        let place = match known {
            Some(place) => place,
            None => {
                let within = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                (parent.to_owned(), self.root.create_dir_all(within, 0o755)?)
            }
        };
        let (_, directory) = self.last.insert(place);
        Ok((directory, name))
    }
}

fn node(
    places: &mut Places<'_>,
    path: &Path,
    kind: Kind,
    mode: u32,
    (user, group): (u32, u32),
) -> Result<(), Failure> {
    let (directory, name) = places.of(path)?;
    let (file_type, device) = match kind {
        Kind::Character(major, minor) => (FileType::CharacterDevice, makedev(major, minor)),
        Kind::Block(major, minor) => (FileType::BlockDevice, makedev(major, minor)),
        Kind::Fifo => (FileType::Fifo, 0),
    };
    match rustix::fs::mknodat(directory, name, file_type, Mode::from_raw_mode(mode), device) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(linux::Error::new("make node", path.display(), errno).into()),
    }
    if (user, group) == (0, 0) {
        return Ok(());
    }
    let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| linux::Error::new("change owner of", path.display(), errno).into())
}

fn link(places: &mut Places<'_>, path: &Path, target: &str) -> Result<(), Failure> {
    let (directory, name) = places.of(path)?;
    match rustix::fs::symlinkat(target, directory, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(linux::Error::new("make link", path.display(), errno).into()),
    }
}

fn bound(root: &Root, path: &Path, kind: Kind) -> Result<(), Failure> {
    let host = Path::new("/").join(path);
    let tree = linux::mount::bind(&host, false)?;
    verify(&tree, kind).map_err(|errno| linux::Error::new("verify", host.display(), errno))?;
    attach(&tree, &file_target(root, path)?, path)
}

/// The host's node must be what the configuration says it is.
pub(super) fn verify(node: impl std::os::fd::AsFd, kind: Kind) -> Result<(), Errno> {
    let status = rustix::fs::fstat(node)?;
    let device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
    let fits = match (FileType::from_raw_mode(status.st_mode), kind) {
        (FileType::CharacterDevice, Kind::Character(major, minor))
        | (FileType::BlockDevice, Kind::Block(major, minor)) => device == (major, minor),
        (FileType::Fifo, Kind::Fifo) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err(Errno::NODEV) }
}

/// `/dev/console` is the terminal's own end, bound by descriptor.
pub(super) fn console(terminal: &Terminal, root: &Root) -> Result<(), Failure> {
    let path = Path::new("/dev/console");
    let tree = linux::mount::clone_tree_of(&terminal.pair.slave, false)?;
    attach(&tree, &file_target(root, path)?, path)
}
