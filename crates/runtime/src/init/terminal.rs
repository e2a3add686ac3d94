//! The container's terminal.

use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::path::Path;

use linux::path::Root;
use linux::pty::{self, Pair};
use rustix::fs::Uid;

use crate::channel::Failure;
use crate::plan::ProcessPlan;
use crate::request::Stdio;

/// A terminal of the container's own devpts.
pub(crate) struct Terminal {
    /// Both ends.
    pub(crate) pair: Pair,
}

/// Opens one when the process wants one; it belongs to the process's user.
pub(crate) fn open_terminal(
    process: &ProcessPlan,
    root: &Root,
) -> Result<Option<Terminal>, Failure> {
    if !matches!(process.stdio, Stdio::Terminal) {
        return Ok(None);
    }
    let directory: OwnedFd = root.locate(Path::new("/dev/pts"))?;
    let pair = pty::open_in(&directory)?;
    if let Some(size) = process.terminal_size {
        pty::set_size(&pair.master, size)?;
    }
    let user = Uid::from_raw(process.credentials.user);
    rustix::fs::fchown(&pair.slave, Some(user), None)
        .map_err(|errno| linux::Error::new("change owner of", "the terminal", errno))?;
    Ok(Some(Terminal { pair }))
}

/// Passes the result on; after a failure the terminal stays open to the end of this process.
///
/// It is the terminal of our own session: closing the last copy of its master would hang the
/// session up, and this process with it, before the failure is told.
pub(crate) fn open_until_told<T>(
    result: Result<T, Failure>,
    master: Option<&OwnedFd>,
) -> Result<T, Failure> {
    if let (Err(_), Some(master)) = (&result, master)
        && let Ok(copy) = master.try_clone()
    {
        let _stays_open = copy.into_raw_fd();
    }
    result
}
