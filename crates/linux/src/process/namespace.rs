//! Namespaces: which there are, joining and leaving them.

use std::ops::{BitOr, BitOrAssign};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::clone::last_errno;
use super::{PidFd, SingleThreaded};
use crate::Error;

/// A set of kinds of namespaces (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u32);

impl Namespaces {
    /// None.
    pub const NONE: Self = Self(0);
    /// Mount points.
    pub const MOUNT: Self = Self(0x0002_0000);
    /// Control groups' root.
    pub const CGROUP: Self = Self(0x0200_0000);
    /// Host and domain name.
    pub const UTS: Self = Self(0x0400_0000);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(0x0800_0000);
    /// User and group ids, capabilities.
    pub const USER: Self = Self(0x1000_0000);
    /// Process ids.
    pub const PID: Self = Self(0x2000_0000);
    /// Network.
    pub const NETWORK: Self = Self(0x4000_0000);
    /// Boot-time and monotonic clocks.
    pub const TIME: Self = Self(0x0000_0080);

    /// Whether all of `other` are in the set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The set without `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kernel's `CLONE_NEW…` bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        u64::from(self.0)
    }

    /// The name of a single kind's file in `/proc/PID/ns`.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::MOUNT => "mnt",
            Self::CGROUP => "cgroup",
            Self::UTS => "uts",
            Self::IPC => "ipc",
            Self::USER => "user",
            Self::PID => "pid",
            Self::NETWORK => "net",
            Self::TIME => "time",
            _ => "",
        }
    }
}

impl BitOr for Namespaces {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Namespaces {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Joins the namespace that `descriptor` (of a `/proc/PID/ns` file) stands for; it must be of this
/// kind. For a pid or time namespace only later children are in it.
///
/// # Errors
/// What the kernel says.
pub fn join(descriptor: BorrowedFd<'_>, kind: Namespaces) -> Result<(), Error> {
    set(descriptor, kind).map_err(|errno| Error::new("join namespace", kind.file_name(), errno))
}

/// Joins several of a process's namespaces at once.
///
/// # Errors
/// What the kernel says.
pub fn join_of(process: &PidFd, kinds: Namespaces) -> Result<(), Error> {
    set(process.as_fd(), kinds)
        .map_err(|errno| Error::new("join namespaces of", process.pid().as_raw_nonzero(), errno))
}

fn set(descriptor: BorrowedFd<'_>, kinds: Namespaces) -> Result<(), rustix::io::Errno> {
    // SAFETY: no memory is passed; the descriptor is open. Descriptors stay what they are.
    let result = unsafe { libc::setns(descriptor.as_raw_fd(), kinds.0.cast_signed()) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Moves the process into new namespaces of these kinds (its later children for pid and time).
///
/// # Errors
/// What the kernel says.
pub fn unshare(_token: &SingleThreaded, kinds: Namespaces) -> Result<(), Error> {
    // SAFETY: only namespaces are unshared, and by the token there is no other thread to confuse.
    let result = unsafe { libc::unshare(kinds.0.cast_signed()) };
    if result == 0 {
        Ok(())
    } else {
        Err(Error::new("make namespace", kinds.file_name(), last_errno()))
    }
}

/// Does something on a thread of its own, in a mount namespace of its own: what is mounted there nobody
/// else sees, and it is gone with the thread.
///
/// # Errors
/// What the kernel says; `EIO` when the work panics.
pub fn with_own_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let fail = |errno| Error::new("make namespace", Namespaces::MOUNT.file_name(), errno);
    let alone = || {
        // SAFETY: only this thread's working directory, root, mask and mounts become its own.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(fail(last_errno()));
        }
        crate::mount::change_propagation("/", crate::mount::Propagation::Private, true)?;
        Ok(work())
    };
    std::thread::scope(|scope| scope.spawn(alone).join()).map_err(|_panic| fail(Errno::IO))?
}

/// The caller's own namespace of one kind, as a descriptor to come back by. For pid and time it is
/// the one in which children are born.
///
/// # Errors
/// What the kernel says.
pub fn open_own(kind: Namespaces) -> Result<OwnedFd, Error> {
    let name = match kind {
        Namespaces::PID => "pid_for_children",
        Namespaces::TIME => "time_for_children",
        _ => kind.file_name(),
    };
    open(format!("/proc/self/ns/{name}"))
}

/// The namespace of one kind that a process is in.
///
/// # Errors
/// What the kernel says: `ENOENT` when the process has ended.
pub fn open_of(process: &PidFd, kind: Namespaces) -> Result<OwnedFd, Error> {
    open(format!("/proc/{}/ns/{}", process.pid().as_raw_nonzero(), kind.file_name()))
}

fn open(path: String) -> Result<OwnedFd, Error> {
    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open namespace", path, errno))
}
