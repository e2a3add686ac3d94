//! seccomp(2).

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::program::Instruction;
use super::{Action, Program};
use crate::Error;

/// How a filter is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Everything but allowed calls is logged (`SECCOMP_FILTER_FLAG_LOG`).
    pub log: bool,
    /// No mitigation of speculative store bypass comes with it
    /// (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`).
    pub speculation: bool,
    /// All threads of the process get it (`SECCOMP_FILTER_FLAG_TSYNC`).
    pub all_threads: bool,
    /// A supervisor's wait can only be interrupted by fatal signals
    /// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`).
    pub wait_killable: bool,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Filter {
    length: libc::c_ushort,
    instructions: *const Instruction,
}

const SET_MODE_FILTER: libc::c_ulong = 1;
const TSYNC: libc::c_ulong = 1;
const LOG: libc::c_ulong = 1 << 1;
const SPEC_ALLOW: libc::c_ulong = 1 << 2;
const NEW_LISTENER: libc::c_ulong = 1 << 3;
const TSYNC_ESRCH: libc::c_ulong = 1 << 4;
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

impl Flags {
    const fn bits(self) -> libc::c_ulong {
        let mut bits = 0;
        if self.log {
            bits |= LOG;
        }
        if self.speculation {
            bits |= SPEC_ALLOW;
        }
        if self.all_threads {
            bits |= TSYNC | TSYNC_ESRCH;
        }
        if self.wait_killable {
            bits |= WAIT_KILLABLE;
        }
        bits
    }
}

impl Program {
    /// Puts the filter on the calling thread, for ever. It needs `no_new_privs` or `CAP_SYS_ADMIN`
    /// in the thread's user namespace.
    ///
    /// # Errors
    /// The kernel's: `EACCES` without those, `EINVAL` for a program it refuses.
    pub fn load(&self, flags: Flags) -> Result<(), Error> {
        load(self, flags, 0).map(drop)
    }

    /// As [`Self::load`], and gives the descriptor at which a supervisor hears of the calls it is to
    /// answer (`seccomp_unotify(2)`).
    ///
    /// # Errors
    /// As [`Self::load`]; `EBUSY` when there is such a filter already, `EINVAL` before Linux 5.0.
    pub fn load_with_listener(&self, flags: Flags) -> Result<OwnedFd, Error> {
        let descriptor = load(self, flags, NEW_LISTENER)?;
        let descriptor = i32::try_from(descriptor)
            .map_err(|_| Error::new("load", "seccomp filter", Errno::BADF))?;
        // SAFETY: the kernel has made it for this call, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }

    /// Whether a supervisor must be there to answer its calls.
    #[must_use]
    pub fn notifies(&self) -> bool {
        let notify = Instruction::answer(Action::Notify);
        self.instructions().contains(&notify)
    }
}

fn load(program: &Program, flags: Flags, more: libc::c_ulong) -> Result<libc::c_long, Error> {
    let loaded = match set(program, flags.bits() | more) {
        // Kernels before 4.17 have no such mitigation and do not know the flag.
        Err(Errno::INVAL) if flags.speculation => {
            set(program, Flags { speculation: false, ..flags }.bits() | more)
        }
        other => other,
    };
    loaded.map_err(|errno| Error::new("load", "seccomp filter", errno))
}

fn set(program: &Program, flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
    let instructions = program.instructions();
    let length = libc::c_ushort::try_from(instructions.len()).map_err(|_| Errno::INVAL)?;
    let filter = Filter { length, instructions: instructions.as_ptr() };
    // SAFETY: the kernel only reads `filter` and the `length` instructions it points to; both live
    // until the call returns, and `Instruction` has the layout of `struct sock_filter`.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, std::ptr::from_ref(&filter))
    };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EINVAL)));
    }
    Ok(result)
}
