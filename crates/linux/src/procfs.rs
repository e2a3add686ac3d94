//! A proc file system of our own, for reads and writes that must reach the kernel.
//!
//! What lies at `/proc` in a container may be anything (CVE-2019-16884, CVE-2019-19921,
//! CVE-2025-52881): a write there can be made to end in another file. A mount that was never
//! attached anywhere has nothing mounted over it, and the way below it is resolved without links
//! and without crossing into other mounts.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Error;
use crate::mount::{Attributes, FileSystem};

/// A detached proc mount, of the pid namespace it was made in.
#[derive(Debug)]
pub struct Procfs {
    mount: OwnedFd,
}

const STRICT: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

impl Procfs {
    /// A new one.
    ///
    /// # Errors
    /// `EPERM` without the right to mount.
    pub fn new() -> Result<Self, Error> {
        let attributes = Attributes {
            no_set_user_id: Some(true),
            no_devices: Some(true),
            no_execute: Some(true),
            ..Attributes::default()
        };
        Ok(Self { mount: FileSystem::open("proc")?.mount(&attributes)? })
    }

    /// Writes `content` with one call to a file given relative to the root (`sys/net/…`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let fail = |errno| Error::new("write", Path::new("/proc").join(path).display(), errno);
        let file = self.open(path, OFlags::WRONLY).map_err(fail)?;
        match rustix::io::write(&file, content) {
            Ok(length) if length == content.len() => Ok(()),
            Ok(_) => Err(fail(Errno::IO)),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// Reads a file given relative to the root.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let object = Path::new("/proc").join(path);
        let file = self
            .open(path, OFlags::RDONLY)
            .map_err(|errno| Error::new("read", object.display(), errno))?;
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut content)
            .map_err(|error| Error::from_io("read", object.display(), &error))?;
        Ok(content)
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(&self.mount, path, flags | OFlags::CLOEXEC, Mode::empty(), STRICT)
    }
}
