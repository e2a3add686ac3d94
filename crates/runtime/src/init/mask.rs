//! Paths that cannot be written, and paths that cannot be read.
//!
//! Each target is opened once and the mount is put onto that descriptor (CVE-2023-28642). What
//! covers a file is the host's own null device, seen to be it (CVE-2025-31133): never one that the
//! container could have made.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::mount::{Attributes, FileSystem, clone_tree_of, set_attributes};
use linux::path::{FileType, Kind, OFlags, Root};
use rustix::fs::{CWD, Mode};

use super::device::verify;
use super::mount::attach;
use crate::channel::Failure;
use crate::plan::Plan;

/// Makes each path that exists read-only, with all below it.
pub(super) fn read_only(paths: &[PathBuf], root: &Root) -> Result<(), Failure> {
    for path in paths {
        let Some(target) = root.find(path)? else { continue };
        let tree = clone_tree_of(&target, true)?;
        set_attributes(&tree, &Attributes::READ_ONLY, true)?;
        attach(&tree, &target, path)?;
    }
    Ok(())
}

/// Covers each path that exists.
pub(super) fn masked(plan: &Plan, root: &Root) -> Result<(), Failure> {
    let mut covers = Covers { label: plan.mount_label.as_deref(), ..Covers::default() };
    for path in &plan.masked_paths {
        let Some(target) = root.find(path)? else { continue };
        let status = rustix::fs::fstat(&target)
            .map_err(|errno| linux::Error::new("look at", path.display(), errno))?;
        let cover = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            covers.directory()?
        } else {
            covers.file()?
        };
        attach(&cover, &target, path)?;
        covers.keep(cover);
    }
    Ok(())
}

/// What lies over masked paths.
#[derive(Default)]
struct Covers<'a> {
    label: Option<&'a str>,
    null: Option<OwnedFd>,
    /// One empty file system for all directories, copied from where it was attached first.
    empty: Option<OwnedFd>,
    fresh: bool,
}

impl Covers<'_> {
    fn file(&mut self) -> Result<OwnedFd, Failure> {
        let null = match &self.null {
            Some(null) => null,
            None => self.null.insert(host_null()?),
        };
        Ok(clone_tree_of(null, false)?)
    }

    fn directory(&mut self) -> Result<OwnedFd, Failure> {
        if let Some(empty) = &self.empty {
            return Ok(clone_tree_of(empty, false)?);
        }
        let tmpfs = FileSystem::open("tmpfs")?;
        tmpfs.set("source", "tmpfs")?;
        tmpfs.set("mode", "555")?;
        if let Some(label) = self.label {
            tmpfs.set_label(label)?;
        }
        self.fresh = true;
        Ok(tmpfs.mount(&Attributes::READ_ONLY)?)
    }

    /// Remembers the first directory cover, now attached.
    fn keep(&mut self, cover: OwnedFd) {
        if std::mem::take(&mut self.fresh) {
            self.empty = Some(cover);
        }
    }
}

/// The host's null device: opened before the root changes.
fn host_null() -> Result<OwnedFd, Failure> {
    let path = Path::new("/dev/null");
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| linux::Error::new("open", path.display(), errno))?;
    verify(&null, Kind::Character(1, 3))
        .map_err(|errno| linux::Error::new("verify", path.display(), errno))?;
    Ok(null)
}
