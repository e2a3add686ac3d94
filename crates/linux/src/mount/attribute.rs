//! Attributes of a mount (`mount_setattr(2)`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::Error;
use rustix::io::Errno;

/// What to change; `None` leaves an attribute as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Nothing can be written through this mount.
    pub read_only: Option<bool>,
    /// Set-user-id bits and file capabilities mean nothing.
    pub no_set_user_id: Option<bool>,
    /// Device nodes cannot be opened.
    pub no_devices: Option<bool>,
    /// Nothing can be executed.
    pub no_execute: Option<bool>,
    /// Symbolic links are not followed.
    pub no_symlink_follow: Option<bool>,
    /// Access times of directories are not kept.
    pub no_directory_access_time: Option<bool>,
    /// When access times are written.
    pub access_time: Option<AccessTime>,
    /// How mounts below spread to and from other mounts of the same tree.
    pub propagation: Option<Propagation>,
}

impl Attributes {
    /// Nothing can be written, and all else stays as it is.
    pub const READ_ONLY: Self = Self {
        read_only: Some(true),
        no_set_user_id: None,
        no_devices: None,
        no_execute: None,
        no_symlink_follow: None,
        no_directory_access_time: None,
        access_time: None,
        propagation: None,
    };
}

/// When access times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTime {
    /// When older than the modification, or a day.
    Relative,
    /// Never.
    Never,
    /// Always.
    Strict,
}

/// How mounts spread between copies of a mount (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// In both directions.
    Shared,
    /// From the other to this one.
    Slave,
    /// Not at all, and this mount cannot be bound elsewhere.
    Unbindable,
}

impl Propagation {
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Private => 1 << 18,
            Self::Shared => 1 << 20,
            Self::Slave => 1 << 19,
            Self::Unbindable => 1 << 17,
        }
    }
}

const ACCESS_TIME_MASK: u64 = 0x70;

impl Attributes {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bits to set and to clear.
    pub(super) fn bits(&self) -> (u64, u64) {
        let mut set = 0;
        let mut clear = 0;
        for (wanted, bit) in [
            (self.read_only, 0x1),
            (self.no_set_user_id, 0x2),
            (self.no_devices, 0x4),
            (self.no_execute, 0x8),
            (self.no_directory_access_time, 0x80),
            (self.no_symlink_follow, 0x20_0000),
        ] {
            match wanted {
                Some(true) => set |= bit,
                Some(false) => clear |= bit,
                None => {}
            }
        }
        if let Some(access_time) = self.access_time {
            clear |= ACCESS_TIME_MASK;
            set |= match access_time {
                AccessTime::Relative => 0,
                AccessTime::Never => 0x10,
                AccessTime::Strict => 0x20,
            };
        }
        (set, clear)
    }
}

/// `struct mount_attr` (linux/mount.h), the same on all architectures.
#[repr(C)]
struct KernelAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes a mount's attributes, with `recursive` those of all mounts below it too; all or none.
///
/// # Errors
/// What the kernel says; `ENOSYS` before Linux 5.12.
pub fn set_attributes(
    mount: impl AsFd,
    attributes: &Attributes,
    recursive: bool,
) -> Result<(), Error> {
    if attributes.is_empty() {
        return Ok(());
    }
    let (set, clear) = attributes.bits();
    let propagation = attributes.propagation.map_or(0, Propagation::bits);
    let wanted = KernelAttributes { set, clear, propagation, user_namespace: 0 };
    change(mount.as_fd(), &wanted, recursive)
        .map_err(|errno| Error::new("set attributes of", "a mount", errno))
}

/// Has the ids of files seen through a detached mount, with `recursive` all mounts below it too,
/// mapped by a user namespace: a file of the first id inside belongs to the first id outside.
///
/// # Errors
/// What the kernel says: `EINVAL` for a file system that cannot, `EPERM` for a mount that is mapped
/// already.
pub fn set_id_map(
    mount: impl AsFd,
    user_namespace: impl AsFd,
    recursive: bool,
) -> Result<(), Error> {
    const ID_MAP: u64 = 0x10_0000;
    let fail = |errno| Error::new("map ids of", "a mount", errno);
    let number = user_namespace.as_fd().as_raw_fd();
    let user_namespace = u64::try_from(number).map_err(|_| fail(Errno::BADF))?;
    let wanted = KernelAttributes { set: ID_MAP, clear: 0, propagation: 0, user_namespace };
    change(mount.as_fd(), &wanted, recursive).map_err(fail)
}

fn change(mount: BorrowedFd<'_>, wanted: &KernelAttributes, recursive: bool) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    let empty = c"";
    // SAFETY: the descriptor is open, the structure has the size that is told and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            flags,
            std::ptr::from_ref(wanted),
            size_of::<KernelAttributes>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::{AccessTime, Attributes};

    #[test]
    fn bits_follow_the_kernel() {
        let attributes = Attributes {
            read_only: Some(true),
            no_execute: Some(false),
            access_time: Some(AccessTime::Never),
            ..Attributes::default()
        };
        assert_eq!(attributes.bits(), (0x11, 0x78));
        assert!(Attributes::default().is_empty());
    }
}
