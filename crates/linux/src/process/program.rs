//! Becoming another program.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use super::clone::last_errno;
use crate::Error;

/// Replaces the calling program; comes back only with the reason why it could not (`execve(2)`).
#[must_use]
pub fn exec(path: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both arrays end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    last_errno()
}

pub(super) fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Strings as the kernel wants them.
///
/// # Errors
/// `EINVAL` when one contains a zero byte.
pub fn strings<S: AsRef<OsStr>>(all: &[S]) -> Result<Vec<CString>, Error> {
    let convert = |string: &S| {
        CString::new(string.as_ref().as_bytes())
            .map_err(|_| Error::new("use", "a string with a zero byte", Errno::INVAL))
    };
    all.iter().map(convert).collect()
}

/// Ends the process at once: neither destructors nor handlers run, which in a forked child would be
/// its parent's.
pub fn exit(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}
