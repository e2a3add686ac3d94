//! Our own executable, kept from being overwritten out of a container (CVE-2019-5736).
//!
//! A process that enters a container can be made to show its `/proc/PID/exe` there: as the program
//! of a script (`#!/proc/self/exe`), or to somebody with `CAP_SYS_PTRACE`. The link leads to the
//! file on the host. It cannot be written while the program runs, but afterwards it can, by whoever
//! kept a descriptor. So whatever enters containers runs from a mount that is read-only and in no
//! mount namespace: its link leads to a file that nobody can open for writing.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::clone::last_errno;
use super::program::{pointers, strings};
use crate::Error;
use crate::mount::{self, Attributes};

/// Whether the running program lies on a read-only mount.
///
/// # Errors
/// When procfs is not mounted.
pub fn is_executable_read_only() -> Result<bool, Error> {
    let status = statvfs("/proc/self/exe")
        .map_err(|errno| Error::new("look at", "/proc/self/exe", errno))?;
    Ok(status.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Starts this program again from a detached read-only mount of its own file, with these arguments
/// (the first is the program's name) and the present environment. Returns only when that fails.
///
/// # Errors
/// What the kernel says; without the right to mount, `EPERM`.
pub fn exec_read_only(arguments: &[OsString]) -> Result<std::convert::Infallible, Error> {
    let environment: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| join(&name, &value))
        .filter_map(|entry| CString::new(entry).ok())
        .collect();
    let arguments = strings(arguments)?;
    let program = read_only_mount()?;
    let argument_pointers = pointers(&arguments);
    let environment_pointers = pointers(&environment);
    let empty = c"";
    // SAFETY: the descriptor is open, both arrays end with a null pointer and point to C strings
    // that outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            empty.as_ptr(),
            argument_pointers.as_ptr(),
            environment_pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(Error::new("execute", "our own program", last_errno()))
}

fn read_only_mount() -> Result<OwnedFd, Error> {
    let tree = mount::clone_tree(rustix::fs::CWD, OsStr::new("/proc/self/exe"), false)?;
    mount::set_attributes(
        &tree,
        &Attributes { read_only: Some(true), ..Attributes::default() },
        false,
    )?;
    Ok(tree)
}

fn join(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}
