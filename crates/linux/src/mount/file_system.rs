//! New file systems (fsopen, fsconfig, fsmount).

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::Attributes;
use crate::Error;

/// A file system being configured.
#[derive(Debug)]
pub struct FileSystem {
    context: OwnedFd,
    kind: String,
}

impl FileSystem {
    /// Begins a file system of this kind (`tmpfs`, `proc`, …).
    ///
    /// # Errors
    /// `ENODEV` (kind not known to this kernel), `EPERM`.
    pub fn open(kind: &str) -> Result<Self, Error> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|errno| Error::new("open file system", kind, errno))?;
        Ok(Self { context, kind: kind.to_owned() })
    }

    /// Sets an option that has a value.
    ///
    /// # Errors
    /// `EINVAL` when the file system does not know it.
    pub fn set(&self, key: &str, value: impl AsRef<OsStr>) -> Result<(), Error> {
        let value = value.as_ref();
        fsconfig_set_string(self.context.as_fd(), key, value)
            .map_err(|errno| self.failure(&format!("{key}={}", value.to_string_lossy()), errno))
    }

    /// Sets an option that is only a word.
    ///
    /// # Errors
    /// `EINVAL` when the file system does not know it.
    pub fn set_flag(&self, key: &str) -> Result<(), Error> {
        fsconfig_set_flag(self.context.as_fd(), key).map_err(|errno| self.failure(key, errno))
    }

    /// Sets an option whose value is an open file.
    ///
    /// # Errors
    /// `EINVAL` when the file system does not know it or wants no descriptor.
    pub fn set_descriptor(&self, key: &str, value: impl AsFd) -> Result<(), Error> {
        fsconfig_set_fd(self.context.as_fd(), key, value.as_fd())
            .map_err(|errno| self.failure(key, errno))
    }

    /// Sets one option as an OCI bundle or fstab spells it: `key=value` or a word.
    ///
    /// # Errors
    /// `EINVAL` when the file system does not know it.
    pub fn set_option(&self, option: &str) -> Result<(), Error> {
        match option.split_once('=') {
            Some((key, value)) => self.set(key, value),
            None => self.set_flag(option),
        }
    }

    /// Gives everything in it one label of `SELinux` (`context=`, mount(8)).
    ///
    /// # Errors
    /// `EINVAL` without `SELinux`, or for a label that its policy does not know.
    pub fn set_label(&self, label: &str) -> Result<(), Error> {
        self.set("context", label)
    }

    /// Makes the file system and a detached mount of it.
    ///
    /// Only attributes that are set count; a new mount has none that could be cleared.
    ///
    /// # Errors
    /// What the kernel says, with its own words about the reason where it has some.
    pub fn mount(self, attributes: &Attributes) -> Result<OwnedFd, Error> {
        fsconfig_create(self.context.as_fd()).map_err(|errno| self.failure("", errno))?;
        let (bits, _) = attributes.bits();
        let flags = MountAttrFlags::from_bits_retain(u32::try_from(bits).unwrap_or(0));
        let mount = fsmount(self.context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
            .map_err(|errno| self.failure("", errno))?;
        Ok(mount)
    }

    /// The kernel queues messages about what it did not like; the first one explains best.
    fn failure(&self, option: &str, errno: Errno) -> Error {
        let mut object = self.kind.clone();
        if !option.is_empty() {
            object = format!("{object} with {option}");
        }
        let mut buffer = [0_u8; 512];
        if let Ok(length) = rustix::io::read(&self.context, &mut buffer) {
            let message = buffer.get(..length).unwrap_or_default();
            let message = String::from_utf8_lossy(message);
            object = format!("{object} ({})", message.trim().trim_start_matches("e "));
        }
        Error::new("mount", object, errno)
    }
}
