//! How a container's own files differ from its image, read off an overlay's upper directory.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::walk::{each, open_directory};
use crate::{Error, Result};

/// How a path differs from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeKind {
    /// It is in the image with other content or attributes.
    Modified,
    /// It is not in the image.
    Added,
    /// It is only in the image.
    Deleted,
}

/// One difference between a container and its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The path in the container, absolute.
    pub path: PathBuf,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// The changes in `upper` above `lowers`, topmost first.
pub(crate) fn changes(upper: &Path, lowers: &[PathBuf]) -> Result<Vec<Change>> {
    let open = |path: &Path| {
        File::open(path).map(OwnedFd::from).map_err(|source| Error::io("read", path, source))
    };
    let lowers: Vec<OwnedFd> = lowers.iter().map(|lower| open(lower)).collect::<Result<_>>()?;
    let mut changes = Vec::new();
    directory(open(upper)?.as_fd(), &lowers, Path::new("/"), &mut changes)
        .map_err(|errno| Error::io("read", upper, errno))?;
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

/// `lowers` are the same directory in the layers, as far as they are visible.
fn directory(
    upper: BorrowedFd<'_>,
    lowers: &[OwnedFd],
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<(), Errno> {
    each(upper, &mut |found| {
        let path = path.join(found.name);
        let below = visible(lowers, Path::new(found.name))?;
        if found.is_whiteout() {
            if below {
                changes.push(Change { path, kind: ChangeKind::Deleted });
            }
            return Ok(());
        }
        let kind = if below { ChangeKind::Modified } else { ChangeKind::Added };
        changes.push(Change { path: path.clone(), kind });
        if found.file_type() != FileType::Directory {
            return Ok(());
        }
        let upper = open_directory(found.parent, Path::new(found.name))?;
        let hidden = is_opaque(upper.as_fd());
        let below = merged(lowers, Path::new(found.name))?;
        if hidden {
            deleted(upper.as_fd(), &below, &path, changes)?;
        }
        directory(upper.as_fd(), if hidden { &[] } else { &below }, &path, changes)
    })
}

/// What an opaque directory hides and does not have itself.
fn deleted(
    upper: BorrowedFd<'_>,
    lowers: &[OwnedFd],
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<(), Errno> {
    let mut names = std::collections::BTreeSet::new();
    for lower in lowers {
        each(lower.as_fd(), &mut |found| {
            names.insert(found.name.clone());
            Ok(())
        })?;
    }
    for name in names {
        let here = rustix::fs::statat(upper, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if !here && visible(lowers, Path::new(&name))? {
            changes.push(Change { path: path.join(&name), kind: ChangeKind::Deleted });
        }
    }
    Ok(())
}

/// Whether the layers have something of that name, by the topmost that says anything about it.
fn visible(lowers: &[OwnedFd], name: &Path) -> Result<bool, Errno> {
    for lower in lowers {
        match rustix::fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => {
                let kind = FileType::from_raw_mode(status.st_mode);
                return Ok(kind != FileType::CharacterDevice || status.st_rdev != 0);
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

/// The directories of that name that overlay would merge.
fn merged(lowers: &[OwnedFd], name: &Path) -> Result<Vec<OwnedFd>, Errno> {
    let mut merged = Vec::new();
    for lower in lowers {
        match open_directory(lower.as_fd(), name) {
            Ok(directory) => {
                let opaque = is_opaque(directory.as_fd());
                merged.push(directory);
                if opaque {
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            // A file, a link or a whiteout hides what is below.
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(merged)
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 2];
    let length = rustix::fs::fgetxattr(directory, "trusted.overlay.opaque", &mut value[..]);
    length == Ok(1) && value[0] == b'y'
}
