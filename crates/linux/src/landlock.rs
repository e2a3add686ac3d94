//! Landlock (landlock(7)): a process gives up rights over files, ports and others' processes, for
//! itself and for all that come from it, and cannot take them back.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::Error;

/// Rights over files, in the order of the kernel's bits: name, and the version of the kernel's
/// interface (ABI) that brought it.
pub const FILE_ACCESS: [(&str, u32); 16] = [
    ("execute", 1),
    ("write_file", 1),
    ("read_file", 1),
    ("read_dir", 1),
    ("remove_dir", 1),
    ("remove_file", 1),
    ("make_char", 1),
    ("make_dir", 1),
    ("make_reg", 1),
    ("make_sock", 1),
    ("make_fifo", 1),
    ("make_block", 1),
    ("make_sym", 1),
    ("refer", 2),
    ("truncate", 3),
    ("ioctl_dev", 5),
];

/// Rights over ports of TCP, as [`FILE_ACCESS`].
pub const NETWORK_ACCESS: [(&str, u32); 2] = [("bind_tcp", 4), ("connect_tcp", 4)];

/// What can be kept to the processes of the same domain, as [`FILE_ACCESS`].
pub const SCOPES: [(&str, u32); 2] = [("abstract_unix_socket", 6), ("signal", 6)];

/// The rights that mean something for what is no directory: execute, write, read, truncate, ioctl.
const OF_FILES: u64 = 0b1100_0000_0000_0111;

const CREATE_RULESET_VERSION: libc::c_ulong = 1;
const RULE_PATH_BENEATH: libc::c_ulong = 1;
const RULE_NET_PORT: libc::c_ulong = 2;

/// Bits of [`FILE_ACCESS`], [`NETWORK_ACCESS`] and [`SCOPES`]. What is handled and not allowed by a
/// rule is forbidden.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handled {
    /// Of files.
    pub files: u64,
    /// Of ports.
    pub network: u64,
    /// Towards others.
    pub scopes: u64,
}

/// `struct landlock_ruleset_attr` (linux/landlock.h) as of version 6.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed_access: u64,
    port: u64,
}

/// The version of the kernel's interface; 0 where it has none, or Landlock is turned off.
#[must_use]
pub fn version() -> u32 {
    let none: *const RulesetAttributes = std::ptr::null();
    // SAFETY: with this flag the kernel wants no attributes, and makes nothing.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, CREATE_RULESET_VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

/// Rules that are being put together.
#[derive(Debug)]
pub struct Ruleset {
    descriptor: OwnedFd,
    handled: Handled,
}

impl Ruleset {
    /// Rules that handle these rights and allow nothing yet.
    ///
    /// # Errors
    /// `ENOSYS`, `EOPNOTSUPP` without Landlock; `EINVAL`, `E2BIG` for what a later kernel has;
    /// `ENOMSG` when nothing is handled.
    pub fn new(handled: Handled) -> Result<Self, Error> {
        let attributes = RulesetAttributes {
            handled_access_fs: handled.files,
            handled_access_net: handled.network,
            scoped: handled.scopes,
        };
        // An older kernel takes what it does not know as long as it is zero.
        let size = size_of::<RulesetAttributes>();
        // SAFETY: the structure lives through the call and is as long as told.
        let result = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size, 0)
        };
        let number = i32::try_from(result).unwrap_or(-1);
        if number < 0 {
            return Err(Error::new("make", "a Landlock ruleset", last_errno()));
        }
        // SAFETY: the kernel has just made this descriptor (close-on-exec), which nobody else knows.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(Self { descriptor, handled })
    }

    /// Allows these rights over what `place` is open on and all below it. Rights that are not
    /// handled, and those of directories where it is none, are left out.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn allow_beneath(
        &self,
        place: impl AsFd,
        is_directory: bool,
        access: u64,
    ) -> Result<(), Error> {
        let possible = if is_directory { u64::MAX } else { OF_FILES };
        let allowed_access = access & self.handled.files & possible;
        if allowed_access == 0 {
            return Ok(());
        }
        let rule = PathBeneath { allowed_access, parent_fd: place.as_fd().as_raw_fd() };
        self.add(RULE_PATH_BENEATH, &raw const rule)
    }

    /// Allows these rights over a port. Those that are not handled are left out.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn allow_port(&self, port: u16, access: u64) -> Result<(), Error> {
        let allowed_access = access & self.handled.network;
        if allowed_access == 0 {
            return Ok(());
        }
        let rule = NetPort { allowed_access, port: u64::from(port) };
        self.add(RULE_NET_PORT, &raw const rule)
    }

    fn add<T>(&self, kind: libc::c_ulong, rule: *const T) -> Result<(), Error> {
        let ruleset = self.descriptor.as_raw_fd();
        // SAFETY: the callers pass a live structure of the kind that they name.
        let result = unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, rule, 0) };
        if result == 0 { Ok(()) } else { Err(Error::new("add", "a Landlock rule", last_errno())) }
    }

    /// Puts the calling thread, and all that come from it, under these rules for ever. What it is
    /// under already stays.
    ///
    /// # Errors
    /// `EPERM` without `no_new_privs` or `CAP_SYS_ADMIN`; `E2BIG` below 16 others.
    pub fn restrict(&self) -> Result<(), Error> {
        let ruleset = self.descriptor.as_raw_fd();
        // SAFETY: a descriptor and a number are passed, no memory.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) };
        if result == 0 { Ok(()) } else { Err(Error::new("apply", "Landlock rules", last_errno())) }
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::{FILE_ACCESS, OF_FILES};

    #[test]
    fn rights_of_files_are_five() {
        let of_files = FILE_ACCESS.iter().enumerate().filter(|(bit, _)| OF_FILES >> bit & 1 == 1);
        let names: Vec<_> = of_files.map(|(_, (name, _))| *name).collect();
        assert_eq!(names, ["execute", "write_file", "read_file", "truncate", "ioctl_dev"]);
    }
}
