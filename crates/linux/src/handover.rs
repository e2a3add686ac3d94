//! Descriptors that a parent hands over to a new program by their number.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

use rustix::io::Errno;

use crate::Error;
use crate::process::SingleThreaded;

/// Numbers that have been taken: each only once.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes the descriptor that the command line names. To be called by `main` before it opens
/// anything: a number that this program has opened itself must not be given.
///
/// # Errors
/// `EBADF` when there is no such descriptor, it is a standard stream, or it was taken before.
pub fn take(_token: &SingleThreaded, number: RawFd) -> Result<OwnedFd, Error> {
    let refuse = |errno| Error::new("take over", format!("descriptor {number}"), errno);
    let mut taken = TAKEN.lock().map_err(|_| refuse(Errno::BADF))?;
    if number < 3 || taken.contains(&number) {
        return Err(refuse(Errno::BADF));
    }
    // SAFETY: only asked whether it is open, and not kept.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(borrowed).map_err(refuse)?;
    taken.push(number);
    // SAFETY: it is open; by the contract above it came from the parent, so no object of this
    // program owns it, and the list keeps it from being taken twice.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
