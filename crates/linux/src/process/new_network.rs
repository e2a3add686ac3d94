//! A network namespace that is made while its maker does something else.
//!
//! It takes the kernel as long as all other namespaces and mounts of a container together, most of
//! it for the loopback device and the tables of kernel parameters. So a task of its own asks for it,
//! on another processor.
//!
//! The task shares the memory and the descriptors of its maker (`CLONE_VM | CLONE_FILES`), which is
//! what makes it cheap and lets it leave a descriptor behind. It runs on a stack of its own and does
//! three system calls: no allocation, no lock, nothing of a thread's own memory, which would be its
//! maker's. So it is no thread in the sense of [`SingleThreaded`]: a fork beside it copies no lock
//! that somebody holds.

use std::cell::UnsafeCell;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{UnshareFlags, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::clone::last_errno;
use super::{PidFd, SingleThreaded};
use crate::Error;

/// A new network namespace on its way.
#[derive(Debug)]
pub struct NewNetwork {
    task: PidFd,
    shared: Arc<Shared>,
    is_over: bool,
}

/// What the task uses of its maker's memory.
#[derive(Debug)]
#[repr(C, align(16))]
struct Shared {
    stack: UnsafeCell<[u8; STACK_SIZE]>,
    /// The descriptor; or what the kernel said, negative; or [`UNKNOWN`].
    result: AtomicI32,
}

// SAFETY: the stack is the task's alone; the result is atomic.
unsafe impl Sync for Shared {}

/// Two frames and the arguments of three system calls.
const STACK_SIZE: usize = 16 * 1024;

const UNKNOWN: i32 = i32::MIN;

impl NewNetwork {
    /// Has one made.
    ///
    /// # Errors
    /// When no process can be made.
    pub fn begin(_token: &SingleThreaded) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            stack: UnsafeCell::new([0; STACK_SIZE]),
            result: AtomicI32::new(UNKNOWN),
        });
        let mut descriptor: libc::c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: one past the end of the stack, which is part of the same allocation.
        let top = unsafe { shared.stack.get().add(1) };
        // SAFETY: the task runs on a stack of its own, which lives, with the result, until the task
        // has ended (`Drop`). It touches nothing else of this memory, as `make` says.
        let result = unsafe {
            libc::clone(
                make,
                top.cast(),
                flags,
                (&raw const shared.result).cast_mut().cast(),
                &raw mut descriptor,
            )
        };
        // A negative number is an error, and for the library a programmer's.
        let Some(pid) = Some(result).filter(|result| *result > 0).and_then(Pid::from_raw) else {
            return Err(Error::new("create", "network namespace", last_errno()));
        };
        // SAFETY: the kernel has stored a new descriptor, which nobody else knows.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        keep_off_this_processor(pid);
        Ok(Self { task: PidFd::from_parts(descriptor, pid), shared, is_over: false })
    }

    /// Whether [`Self::finish`] would not wait long.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.shared.result.load(Ordering::Relaxed) != UNKNOWN
    }

    /// Waits until it is made, or is known to be impossible. Then no task shares this process's memory
    /// any more.
    pub fn wait(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            // Only its being over counts: its memory may then be used again.
            drop(self.task.wait());
        }
    }

    /// Waits for it.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or when the limit of namespaces is reached.
    pub fn finish(mut self) -> Result<OwnedFd, Error> {
        self.wait();
        self.take().map_err(|errno| Error::new("create", "network namespace", errno))
    }

    fn take(&self) -> Result<OwnedFd, Errno> {
        match self.shared.result.swap(UNKNOWN, Ordering::Acquire) {
            UNKNOWN => Err(Errno::INTR),
            error if error < 0 => Err(Errno::from_raw_os_error(-error)),
            // SAFETY: the task has left it open, and it is taken once.
            descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        }
    }
}

impl Drop for NewNetwork {
    fn drop(&mut self) {
        // The task ends by itself, and soon.
        self.wait();
        drop(self.take());
    }
}

/// The scheduler likes to start a new task where its maker runs, to have it wait there until the maker
/// rests; which it will not.
fn keep_off_this_processor(task: Pid) {
    let Ok(mut processors) = sched_getaffinity(None) else { return };
    processors.unset(sched_getcpu());
    if processors.count() > 0 {
        // If it has ended already it was elsewhere.
        let _hint = sched_setaffinity(Some(task), &processors);
    }
}

/// The task. `rustix` makes system calls by itself: not even `errno`, which would be the maker's, is
/// written.
extern "C" fn make(result: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the maker keeps the result until this task has ended.
    let result = unsafe { &*result.cast_const().cast::<AtomicI32>() };
    // SAFETY: only the network namespace of this task is unshared, never the descriptor table.
    let made = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.and_then(|()| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(c"/proc/self/ns/net", flags, Mode::empty())
    });
    let value = match made {
        Ok(descriptor) => descriptor.into_raw_fd(),
        Err(errno) => -errno.raw_os_error(),
    };
    result.store(value, Ordering::Release);
    0
}
