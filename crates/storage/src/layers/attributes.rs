//! Owner, mode, extended attributes and times, in the order in which they survive one another:
//! a change of owner clears set-user-id bits and capabilities.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::name::os;
use crate::archive::{Attribute, Entry, Kind};

/// What gets the attributes.
pub(crate) enum Target<'a> {
    /// A file or directory open for reading or writing.
    Open(BorrowedFd<'a>),
    /// Anything just made in an open directory; never followed if it is a symbolic link.
    Named(BorrowedFd<'a>, &'a OsStr),
}

/// The mark of a directory that hides those below it.
const OPAQUE: &str = "trusted.overlay.opaque";

pub(crate) fn set_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
}

pub(crate) fn apply(target: &Target<'_>, entry: &Entry) -> Result<(), Errno> {
    // What we make belongs to root already: no directory has its set-group-id bit yet.
    if (entry.uid, entry.gid) != (0, 0) || !rustix::process::geteuid().is_root() {
        set_owner(target, Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))?;
    }
    if entry.kind != Kind::Symlink {
        set_mode(target, Mode::from_raw_mode(entry.mode))?;
    }
    for attribute in entry.attributes.iter().filter(|attribute| is_allowed(&attribute.name)) {
        set_attribute(target, attribute)?;
    }
    set_times(target, entry)
}

fn set_owner(target: &Target<'_>, uid: Uid, gid: Gid) -> Result<(), Errno> {
    match target {
        Target::Open(file) => rustix::fs::fchown(file, Some(uid), Some(gid)),
        Target::Named(parent, name) => {
            rustix::fs::chownat(parent, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

fn set_mode(target: &Target<'_>, mode: Mode) -> Result<(), Errno> {
    match target {
        Target::Open(file) => rustix::fs::fchmod(file, mode),
        // Never a link: the caller sets no mode on one, and nobody else is in the directory.
        Target::Named(parent, name) => rustix::fs::chmodat(parent, *name, mode, AtFlags::empty()),
    }
}

fn set_times(target: &Target<'_>, entry: &Entry) -> Result<(), Errno> {
    let time =
        Timespec { tv_sec: entry.modified.seconds, tv_nsec: entry.modified.nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    match target {
        Target::Open(file) => rustix::fs::futimens(file, &times),
        Target::Named(parent, name) => {
            rustix::fs::utimensat(parent, *name, &times, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

fn set_attribute(target: &Target<'_>, attribute: &Attribute) -> Result<(), Errno> {
    let name = os(&attribute.name);
    let result = match target {
        Target::Open(file) => {
            rustix::fs::fsetxattr(file, name, &attribute.value, XattrFlags::empty())
        }
        Target::Named(parent, file) => {
            let path = through_descriptor(*parent, file);
            rustix::fs::lsetxattr(path.as_os_str(), name, &attribute.value, XattrFlags::empty())
        }
    };
    match result {
        // The file system or this kind of file has none; the archive is not to blame.
        Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => Ok(()),
        other => other,
    }
}

/// There is no call for the attributes of a name in an open directory before Linux 6.13.
fn through_descriptor(parent: BorrowedFd<'_>, name: &OsStr) -> std::ffi::OsString {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    std::ffi::OsString::from_vec(path)
}

/// Overlay's own attributes could redirect a directory to anywhere below the mount: they are never
/// a stranger's to set. `SELinux` labels are the host's business.
fn is_allowed(name: &[u8]) -> bool {
    const OURS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
    const TAKEN: [&[u8]; 4] = [b"user.", b"trusted.", b"security.capability", b"system.posix_acl_"];
    !OURS.iter().any(|prefix| name.starts_with(prefix))
        && TAKEN.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn overlays_attributes_are_not_for_strangers() {
        for name in ["user.x", "security.capability", "trusted.x", "system.posix_acl_default"] {
            assert!(is_allowed(name.as_bytes()), "{name}");
        }
        for name in ["trusted.overlay.redirect", "user.overlay.opaque", "security.selinux", "x"] {
            assert!(!is_allowed(name.as_bytes()), "{name}");
        }
    }
}
