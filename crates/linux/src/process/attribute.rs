//! Attributes a process sets on itself.

use std::ffi::CStr;
use std::os::unix::process::CommandExt;

use rustix::io::Errno;

use super::clone::last_errno;
use crate::Error;

/// Whether other processes of the same user may look into this one (`PR_SET_DUMPABLE`). Inherited
/// by fork, reset by exec. A process that enters a container must not be.
///
/// # Errors
/// What the kernel says.
pub fn set_dumpable(dumpable: bool) -> Result<(), Error> {
    control(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable))
        .map_err(|errno| Error::new("set", "dumpable", errno))
}

/// The execution domain of the process and those it makes (personality(2)).
///
/// # Errors
/// What the kernel says.
pub fn set_personality(domain: u32) -> Result<(), Error> {
    // SAFETY: a number is passed, no memory; programs that run already mind nothing of it.
    let result = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if result == -1 { Err(Error::new("set", "personality", last_errno())) } else { Ok(()) }
}

/// No exec gains privileges from now on (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// What the kernel says.
pub fn set_no_new_privileges() -> Result<(), Error> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| Error::new("set", "no_new_privs", errno))
}

/// Whether orphans among this process's descendants become its children.
///
/// # Errors
/// What the kernel says.
pub fn set_child_subreaper(reaps: bool) -> Result<(), Error> {
    control(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(reaps))
        .map_err(|errno| Error::new("set", "child subreaper", errno))
}

/// A session of its own, without controlling terminal.
///
/// # Errors
/// `EPERM` when the process leads a process group.
pub fn new_session() -> Result<(), Error> {
    match rustix::process::setsid() {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::new("make", "a session", errno)),
    }
}

/// Joins the session keyring of this name, or makes it, so that the container cannot see the caller's
/// keys. Its owner may find it by name from then on: so a further process of the container joins the
/// same. Nothing happens on a kernel without keyrings.
///
/// # Errors
/// What the kernel says.
pub fn join_session_keyring(name: &CStr) -> Result<(), Error> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    const KEYCTL_SETPERM: libc::c_int = 5;
    // What the kernel gives a new one (everything to who possesses it; view, read and link to its
    // owner), and search to its owner (keyctl_setperm(3)).
    const PERMISSIONS: u32 = 0x3f13_0000 | 0x0008_0000;
    let fail = |errno| Err(Error::new("join keyring", name.to_string_lossy(), errno));
    // SAFETY: `name` is a C string that lives through the call.
    let keyring =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    match keyring {
        -1 if last_errno() == Errno::NOSYS => return Ok(()),
        -1 => return fail(last_errno()),
        _ => {}
    }
    // SAFETY: two numbers are passed, no memory.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, keyring, PERMISSIONS) };
    if result == 0 { Ok(()) } else { fail(last_errno()) }
}

/// Marks all descriptors from `first` on close-on-exec, so that the container inherits none.
///
/// # Errors
/// What the kernel says.
pub fn close_on_exec_from(first: u32) -> Result<(), Error> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: descriptors are only marked, none is closed.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 { Ok(()) } else { Err(Error::new("mark", "close-on-exec", last_errno())) }
}

/// Every signal's disposition back to its default, and none blocked: exec keeps what was ignored
/// or blocked, and Rust programs ignore SIGPIPE.
pub fn reset_signals() {
    // The kernel's structure, of which the default disposition is all zeroes: handler, flags,
    // restorer, mask. The C library's own function would leave two real-time signals out.
    let default = [0_u64; 4];
    let none: *const u64 = std::ptr::null();
    for number in 1..=64 {
        // SAFETY: the default disposition runs no code of ours; the structure is as large as any
        // architecture's. Errors (KILL, STOP) change nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), none, 8) };
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` fills the set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: the set was filled above; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
}

/// Has `command` start its program after [`reset_signals`]: the standard library leaves the caller's
/// blocked signals blocked there.
pub fn reset_signals_of(command: &mut std::process::Command) {
    let reset = || {
        reset_signals();
        Ok(())
    };
    // SAFETY: it makes system calls only, none of which takes a lock or memory.
    unsafe { command.pre_exec(reset) };
}

fn control(option: libc::c_int, value: libc::c_ulong) -> Result<(), Errno> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used here take a number, no memory.
    let result = unsafe { libc::prctl(option, value, zero, zero, zero) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
