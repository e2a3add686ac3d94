//! The overlay file system: layers below, one writable layer on top.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Attributes, FileSystem};
use crate::Error;

/// What an overlay is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct OverlayOptions<'a> {
    /// The read-only layers, the topmost first; at least one (two when there is no `upper`).
    pub lowers: &'a [PathBuf],
    /// Where changes go; without it the overlay is read-only.
    pub upper: Option<&'a Path>,
    /// The kernel's work directory, on the file system of `upper` and empty. Needed with `upper`.
    pub work: Option<&'a Path>,
    /// Never sync: cheap, but after a crash the upper directory may be garbage, and the same
    /// `work` cannot be mounted again until its `incompat/volatile` is removed.
    pub volatile: bool,
    /// Keep overlay's own attributes in `user.overlay.*` (for mounts in a user namespace).
    pub user_attributes: bool,
}

/// A detached overlay mount.
///
/// # Errors
/// What the kernel says, with its own words; `EINVAL` when the options do not fit together.
pub fn overlay(options: &OverlayOptions<'_>) -> Result<OwnedFd, Error> {
    match build(options, append_lowers) {
        // Before Linux 6.7 the layers are one option.
        Err(error) if error.errno() == Some(Errno::INVAL) => build(options, join_lowers),
        other => other,
    }
}

fn build(
    options: &OverlayOptions<'_>,
    set_lowers: fn(&FileSystem, &[PathBuf]) -> Result<(), Error>,
) -> Result<OwnedFd, Error> {
    let file_system = FileSystem::open("overlay")?;
    file_system.set("source", "overlay")?;
    set_lowers(&file_system, options.lowers)?;
    if let (Some(upper), Some(work)) = (options.upper, options.work) {
        file_system.set("upperdir", escaped(upper))?;
        file_system.set("workdir", escaped(work))?;
    }
    if options.volatile {
        file_system.set_flag("volatile")?;
    }
    if options.user_attributes {
        file_system.set_flag("userxattr")?;
    }
    file_system.mount(&Attributes::default())
}

fn append_lowers(file_system: &FileSystem, lowers: &[PathBuf]) -> Result<(), Error> {
    lowers.iter().try_for_each(|lower| file_system.set("lowerdir+", lower))
}

fn join_lowers(file_system: &FileSystem, lowers: &[PathBuf]) -> Result<(), Error> {
    let all: Vec<OsString> = lowers.iter().map(|lower| escaped(lower)).collect();
    file_system.set("lowerdir", all.join(":".as_ref()))
}

/// Overlay's parser takes a backslash away from before any character, and splits at colons.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b'\\' | b',') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::escaped;
    use std::path::Path;

    #[test]
    fn separators_are_escaped() {
        assert_eq!(escaped(Path::new("/a:b\\c")), "/a\\:b\\\\c");
    }
}
