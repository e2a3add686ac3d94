//! Pseudo-terminals (pty(7)).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;

use crate::Error;

/// `statfs` magic of devpts (linux/magic.h).
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// Both ends of a new pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// The terminal emulator's end.
    pub master: OwnedFd,
    /// The program's end.
    pub slave: OwnedFd,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A new terminal of the devpts file system whose root is `directory`.
///
/// The slave comes from the master itself (`TIOCGPTPEER`), never from a path that somebody could
/// have replaced (CVE-2025-52565).
///
/// # Errors
/// `EINVAL` when the directory is not devpts' root; otherwise what the kernel says.
pub fn open_in(directory: impl AsFd) -> Result<Pair, Error> {
    let fail = |operation| move |errno| Error::new(operation, "a terminal", errno);
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let master = rustix::fs::openat2(directory.as_fd(), "ptmx", flags, Mode::empty(), resolve)
        .map_err(fail("open"))?;
    verify(&master).map_err(fail("verify"))?;
    rustix::pty::unlockpt(&master).map_err(fail("unlock"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(fail("open the peer of"))?;
    Ok(Pair { master, slave })
}

fn verify(master: &OwnedFd) -> Result<(), Errno> {
    let status = rustix::fs::fstat(master)?;
    let device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
    let is_device = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice;
    let magic = u64::try_from(rustix::fs::fstatfs(master)?.f_type).unwrap_or(0);
    if is_device && device == (5, 2) && magic == DEVPTS_MAGIC { Ok(()) } else { Err(Errno::INVAL) }
}

/// Makes a terminal the controlling terminal of the caller's session.
///
/// # Errors
/// `EPERM` when the caller leads no session or has a terminal already.
pub fn set_controlling(terminal: impl AsFd) -> Result<(), Error> {
    rustix::process::ioctl_tiocsctty(terminal.as_fd())
        .map_err(|errno| Error::new("control", "a terminal", errno))
}

/// Sets the size; the foreground processes get SIGWINCH when it changes.
///
/// # Errors
/// What the kernel says.
pub fn set_size(terminal: impl AsFd, size: Size) -> Result<(), Error> {
    let size =
        libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open and the structure lives through the call.
    let result =
        unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Error::from_io("set size of", "a terminal", &error))
}

/// The present size.
///
/// # Errors
/// `ENOTTY` when it is no terminal.
pub fn size(terminal: impl AsFd) -> Result<Size, Error> {
    let size = rustix::termios::tcgetwinsize(terminal)
        .map_err(|errno| Error::new("read size of", "a terminal", errno))?;
    Ok(Size { rows: size.ws_row, columns: size.ws_col })
}
