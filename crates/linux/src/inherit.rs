//! What a forked child keeps of its parent's descriptors.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::Error;
use crate::process::SingleThreaded;

/// How many descriptors are open from this one on without a gap: to be asked before any is opened.
#[must_use]
pub fn count_from(first: u32) -> u32 {
    let is_open = |fd: &u32| {
        // SAFETY: only a flag of whatever has this number is read; no memory is passed.
        unsafe { libc::fcntl(fd.cast_signed(), libc::F_GETFD) >= 0 }
    };
    (first..u32::MAX)
        .position(|fd| !is_open(&fd))
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

/// Closes every descriptor from 3 on but these: for a forked child that goes its own way.
///
/// The token says that no other thread can be using one; the child must never again touch an
/// object of its parent's that owns a descriptor, not even drop it.
///
/// # Errors
/// What the kernel says (Linux 5.9 is needed).
pub fn close_all_but(token: &SingleThreaded, keep: &[BorrowedFd<'_>]) -> Result<(), Error> {
    close_from(token, 3, keep)
}

/// As [`close_all_but`], but from another descriptor on.
///
/// # Errors
/// As [`close_all_but`].
pub fn close_from(
    _token: &SingleThreaded,
    first: u32,
    keep: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let numbers = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned());
    let mut keep: Vec<u32> = numbers.filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut first = first;
    for fd in keep.into_iter().chain([u32::MAX]) {
        let last = if fd == u32::MAX { fd } else { fd - 1 };
        if fd > first {
            // SAFETY: the caller gives these descriptors up; no memory is passed.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if result != 0 {
                let errno = Errno::from_io_error(&std::io::Error::last_os_error());
                let errno = errno.unwrap_or(Errno::IO);
                return Err(Error::new("close", "inherited descriptors", errno));
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}
