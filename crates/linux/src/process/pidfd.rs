//! A process held by descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, WaitId, WaitIdOptions, pidfd_getfd, pidfd_open,
    pidfd_send_signal, waitid,
};

use crate::Error;

/// One process, held so that its number cannot come to mean another.
///
/// Readable (poll, epoll) once the process has ended. Dropping it neither kills nor reaps.
#[derive(Debug)]
pub struct PidFd {
    descriptor: OwnedFd,
    pid: Pid,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called `exit` with this code, 0 to 255.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether it left a core dump.
        dumped: bool,
    },
}

impl ExitStatus {
    /// As a shell has it: the code, or 128 plus the signal's number.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal { number, .. } => 128 + number,
        }
    }
}

impl PidFd {
    /// Holds a process by its number in the caller's pid namespace. The caller makes sure that the
    /// number still means what it should (for instance by comparing start times afterwards).
    ///
    /// # Errors
    /// `ESRCH` (kind `NotFound`) when there is no such process.
    pub fn open(pid: Pid) -> Result<Self, Error> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|errno| Error::new("open process", pid.as_raw_nonzero(), errno))?;
        Ok(Self { descriptor, pid })
    }

    /// A descriptor received from elsewhere, and the number it stands for here.
    #[must_use]
    pub fn from_parts(descriptor: OwnedFd, pid: Pid) -> Self {
        Self { descriptor, pid }
    }

    /// The process's number in the pid namespace of the process that made this.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the process, a child of the caller, has ended, and reaps it.
    ///
    /// # Errors
    /// `ECHILD` when it is no child of the caller or was reaped already.
    pub fn wait(&self) -> Result<ExitStatus, Error> {
        match self.wait_with(WaitIdOptions::EXITED)? {
            Some(status) => Ok(status),
            None => Err(Error::new("wait for process", self.pid.as_raw_nonzero(), Errno::CHILD)),
        }
    }

    /// Reaps the process, a child of the caller, if it has ended.
    ///
    /// # Errors
    /// As [`PidFd::wait`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>, Error> {
        self.wait_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn wait_with(&self, options: WaitIdOptions) -> Result<Option<ExitStatus>, Error> {
        let status = loop {
            match waitid(WaitId::PidFd(self.descriptor.as_fd()), options) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let status = status
            .map_err(|errno| Error::new("wait for process", self.pid.as_raw_nonzero(), errno))?;
        Ok(status.and_then(|status| {
            if let Some(code) = status.exit_status() {
                return Some(ExitStatus::Code(code));
            }
            let number = status.terminating_signal()?;
            Some(ExitStatus::Signal { number, dumped: status.dumped() })
        }))
    }

    /// A copy of a descriptor that the process has open under this number (`pidfd_getfd(2)`).
    ///
    /// # Errors
    /// `EBADF` when it has none, `EPERM` when the caller may not look into it.
    pub fn copy_descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        let flags = PidfdGetfdFlags::empty();
        pidfd_getfd(&self.descriptor, number, flags).map_err(|errno| {
            Error::new("copy descriptor of process", self.pid.as_raw_nonzero(), errno)
        })
    }

    /// Sends a signal by number; 0 only asks whether the process is there.
    ///
    /// # Errors
    /// `ESRCH` when it has ended and was reaped, `EINVAL` for a number that is no signal.
    pub fn signal(&self, number: i32) -> Result<(), Error> {
        let fail = |errno| Error::new("signal process", self.pid.as_raw_nonzero(), errno);
        if !(0..=64).contains(&number) {
            return Err(fail(Errno::INVAL));
        }
        let Some(signal) = Signal::from_named_raw(number) else {
            return send_raw(self.descriptor.as_fd(), number).map_err(fail);
        };
        pidfd_send_signal(&self.descriptor, signal).map_err(fail)
    }
}

/// Numbers the library has no name for: 0 and the real-time signals.
fn send_raw(descriptor: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open, a null `info` is allowed, no memory is passed.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), number, info, 0)
    };
    if result == 0 { Ok(()) } else { Err(super::clone::last_errno()) }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
