//! Signals of the calling process (signal(7)).

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::Error;

/// `SIGHUP`: the terminal went away.
pub const HUP: i32 = libc::SIGHUP;
/// `SIGINT`: the user interrupts.
pub const INT: i32 = libc::SIGINT;
/// `SIGQUIT`: the user interrupts and wants a core.
pub const QUIT: i32 = libc::SIGQUIT;
/// `SIGTERM`: please end.
pub const TERM: i32 = libc::SIGTERM;
/// `SIGPIPE`: nobody reads what was written.
pub const PIPE: i32 = libc::SIGPIPE;
/// `SIGCHLD`: a child ended.
pub const CHLD: i32 = libc::SIGCHLD;
/// `SIGKILL`: cannot be refused.
pub const KILL: i32 = libc::SIGKILL;

/// Ignores these signals. Children inherit that until they execute with
/// [`crate::process::reset_signals`].
///
/// # Errors
/// `EINVAL` for what is no signal, or cannot be ignored.
pub fn ignore(signals: &[i32]) -> Result<(), Error> {
    for &number in signals {
        // SAFETY: ignoring a signal runs no code of ours.
        if unsafe { libc::signal(number, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(Error::new("ignore signal", number, last_errno()));
        }
    }
    Ok(())
}

/// Tells of signals by becoming readable; they are blocked otherwise.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks these signals in the calling thread and receives them here; non-blocking,
    /// close-on-exec.
    ///
    /// # Errors
    /// `EINVAL` for what is no signal; no descriptor left.
    pub fn new(signals: &[i32]) -> Result<Self, Error> {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` fills the set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: the set was filled above.
        let mut set = unsafe { set.assume_init() };
        for &number in signals {
            // SAFETY: the set is a valid one; a wrong number is told by the result.
            if unsafe { libc::sigaddset(&raw mut set, number) } != 0 {
                return Err(Error::new("wait for signal", number, last_errno()));
            }
        }
        // SAFETY: the set is a valid one; the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is a valid one; a new descriptor is asked for.
        let fd = unsafe { libc::signalfd(-1, &raw const set, flags) };
        if fd < 0 {
            return Err(Error::new("create", "a signal descriptor", last_errno()));
        }
        // SAFETY: the kernel has made this descriptor for us alone.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Takes all waiting signals; several of one kind may have become one.
    pub fn drain(&self) {
        let mut piece = [0; 8 * size_of::<libc::signalfd_siginfo>()];
        while rustix::io::read(&self.fd, &mut piece).is_ok_and(|length| length > 0) {}
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::SignalFd;

    #[test]
    fn becomes_readable() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let ready = |signals: &SignalFd| {
            let mut wanted = [PollFd::new(signals, PollFlags::IN)];
            poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap()
        };
        let signals = SignalFd::new(&[libc::SIGURG]).unwrap();
        assert_eq!(ready(&signals), 0);
        // SAFETY: the signal is blocked in this thread and otherwise ignored by default.
        unsafe { libc::raise(libc::SIGURG) };
        assert_eq!(ready(&signals), 1);
        signals.drain();
        assert_eq!(ready(&signals), 0);
    }
}
