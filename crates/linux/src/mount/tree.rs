//! Copies of mounts, and putting a detached mount in its place.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use crate::Error;

/// A detached copy of what is at `path`, seen from `directory`: what a bind mount is made of. With
/// `recursive` the mounts below come along.
///
/// # Errors
/// What the kernel says.
pub fn clone_tree(directory: impl AsFd, path: &OsStr, recursive: bool) -> Result<OwnedFd, Error> {
    open_tree(directory.as_fd(), path, flags(recursive))
        .map_err(|errno| Error::new("bind", path.to_string_lossy(), errno))
}

/// As [`clone_tree`], of an open file or directory, which must be in the caller's mount namespace.
///
/// # Errors
/// What the kernel says.
pub fn clone_tree_of(file: impl AsFd, recursive: bool) -> Result<OwnedFd, Error> {
    open_tree(file.as_fd(), "", flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)
        .map_err(|errno| Error::new("bind", "an open file", errno))
}

/// A detached copy of what is at this path of the caller's own file system.
///
/// # Errors
/// What the kernel says.
pub fn bind(source: &Path, recursive: bool) -> Result<OwnedFd, Error> {
    clone_tree(rustix::fs::CWD, source.as_os_str(), recursive)
}

fn flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Puts a detached mount onto an open file or directory, on top of what may be mounted there.
///
/// # Errors
/// What the kernel says: `ENOTDIR` when one is a directory and the other is not.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<(), Error> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount.as_fd(), "", target.as_fd(), "", flags)
        .map_err(|errno| Error::new("attach", "a mount", errno))
}

/// Takes away a mount that [`attach`] put in its place, and what lies on it.
///
/// # Errors
/// What the kernel says.
pub fn detach(mount: impl AsFd) -> Result<(), Error> {
    let path = format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd());
    unmount(&path, UnmountFlags::DETACH).map_err(|errno| Error::new("detach", "a mount", errno))
}

/// Whether a file lies on a procfs; one that cannot be asked does not.
#[must_use]
pub fn is_procfs(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|status| status.f_type == rustix::fs::PROC_SUPER_MAGIC)
}
