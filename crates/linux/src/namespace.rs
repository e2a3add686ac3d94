//! Network namespaces: make one, enter one on a thread made for it, open one by process.
//!
//! A network namespace belongs to a thread. Changing it under a thread that others use would be a
//! trap, so the functions here either are meant for a thread of one's own or make that thread.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::Error;

/// Moves the calling thread into a new network namespace and returns its descriptor.
///
/// The thread never leaves it but by another call or by [`enter_network`]: call it on a thread
/// that does nothing else. Takes 0.2 ms.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, or when the limit of namespaces is reached.
pub fn unshare_network() -> Result<OwnedFd, Error> {
    // SAFETY: only the network namespace is unshared, never the descriptor table.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
        .map_err(|errno| Error::new("create", "network namespace", errno))?;
    current_network()
}

/// The calling thread's network namespace.
///
/// # Errors
/// Without a mounted `/proc`.
pub fn current_network() -> Result<OwnedFd, Error> {
    open("/proc/thread-self/ns/net")
}

/// The network namespace of a process.
///
/// # Errors
/// When the process is gone.
pub fn network_of(pid: u32) -> Result<OwnedFd, Error> {
    open(&format!("/proc/{pid}/ns/net"))
}

/// Moves the calling thread into a network namespace: only on a thread of one's own.
///
/// # Errors
/// Without `CAP_SYS_ADMIN`, or when the descriptor is no network namespace.
pub fn enter_network(namespace: impl AsFd) -> Result<(), Error> {
    let kind = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
        .map_err(|errno| Error::new("enter", "network namespace", errno))
}

/// Runs `work` inside a network namespace, on a thread made for it.
///
/// # Errors
/// When the namespace cannot be entered.
///
/// # Panics
/// When `work` panics.
pub fn in_network<T: Send>(
    namespace: impl AsFd + Sync,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Error> {
    let namespace = namespace.as_fd();
    on_own_thread(move || enter_network(namespace).map(|()| work()))
}

/// Runs `work` on a thread made for it, inside a network namespace made for it, whose descriptor
/// it is given.
///
/// # Errors
/// As [`unshare_network`].
///
/// # Panics
/// When `work` panics.
pub fn in_new_network<T: Send>(work: impl FnOnce(OwnedFd) -> T + Send) -> Result<T, Error> {
    on_own_thread(|| unshare_network().map(work))
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn open(path: &str) -> Result<OwnedFd, Error> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new("open", path, errno))
}
