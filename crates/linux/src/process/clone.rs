//! `clone3` and the token that makes it safe.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use super::{Namespaces, PidFd};
use crate::Error;

/// Proof that the process had one thread when this was made.
///
/// It cannot leave its thread. Whoever holds one must not start threads as long as it is used.
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Succeeds when the calling process has exactly one thread.
    ///
    /// # Errors
    /// `EBUSY` when there are more; otherwise when procfs cannot be read.
    pub fn claim() -> Result<Self, Error> {
        // The directory has one sub-directory for each thread, and so as many links more than two.
        let status = rustix::fs::stat("/proc/self/task")
            .map_err(|errno| Error::new("count threads in", "/proc/self/task", errno))?;
        if status.st_nlink == 3 {
            Ok(Self(PhantomData))
        } else {
            Err(Error::new("fork", "a process with several threads", Errno::BUSY))
        }
    }
}

/// What the new process does not share with its parent.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneOptions<'a> {
    /// New namespaces the process is born into.
    pub namespaces: Namespaces,
    /// A directory of the cgroup v2 hierarchy the process is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The parent's end of a socket or pipe, which the child must not keep open.
    pub close_in_child: Option<BorrowedFd<'a>>,
    /// Whether the new process is a child of the caller's parent, beside the caller
    /// (`CLONE_PARENT`): then the parent is the one to reap it.
    pub as_sibling: bool,
}

/// Forks: `child` runs in a copy of this process, whose end this process sees by the [`PidFd`].
///
/// # Errors
/// What the kernel says.
pub fn spawn(token: &SingleThreaded, child: impl FnOnce() -> Infallible) -> Result<PidFd, Error> {
    clone(token, &CloneOptions::default(), child)
}

/// As [`spawn`], with new namespaces and directly in a cgroup (`clone3(2)`).
///
/// # Errors
/// What the kernel says.
pub fn clone(
    _token: &SingleThreaded,
    options: &CloneOptions<'_>,
    child: impl FnOnce() -> Infallible,
) -> Result<PidFd, Error> {
    let mut descriptor: libc::c_int = -1;
    let mut flags = u64::from(libc::CLONE_PIDFD.cast_unsigned()) | options.namespaces.bits();
    let mut cgroup = 0;
    let mut exit_signal = libc::SIGCHLD;
    if options.as_sibling {
        // The kernel wants none to be named: a sibling has its brother's.
        flags |= u64::from(libc::CLONE_PARENT.cast_unsigned());
        exit_signal = 0;
    }
    if let Some(directory) = options.cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup = u64::from(directory.as_raw_fd().cast_unsigned());
    }
    let arguments = libc::clone_args {
        flags,
        pidfd: std::ptr::from_mut(&mut descriptor).addr() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.cast_unsigned()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup,
    };
    // SAFETY: without CLONE_VM and with no stack this is a fork: the child has a copy of the whole
    // memory. The token says that there is no other thread whose locks the copy could inherit.
    // `arguments` and `descriptor` live through the call.
    let result = unsafe {
        libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
    };
    if result == 0 {
        if let Some(descriptor) = options.close_in_child {
            // SAFETY: the descriptor belongs to a frame of the parent, to which this copy of the
            // process never returns: nothing here uses it again.
            unsafe { libc::close(descriptor.as_raw_fd()) };
        }
        run_child(child);
    }
    if result < 0 {
        return Err(Error::new("clone", "a process", last_errno()));
    }
    let pid = i32::try_from(result).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::new("clone", "a process", Errno::RANGE))?;
    // SAFETY: the kernel has stored a new descriptor, which nobody else knows.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(PidFd::from_parts(descriptor, pid))
}

/// Not in `libc` for every C library; the same on all architectures (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn run_child(child: impl FnOnce() -> Infallible) -> ! {
    let _guard = ExitOnUnwind;
    match child() {}
}

/// A panic in the child must not unwind into the parent's frames, which exist twice now.
struct ExitOnUnwind;

impl Drop for ExitOnUnwind {
    fn drop(&mut self) {
        super::program::exit(134);
    }
}

pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
