//! Starting the daemon again.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use linux::process::{PidFd, SingleThreaded};
use rustix::io::{Errno, FdFlags};

use super::{Restart, SOCKET_ARGUMENT};
use crate::Error;

/// A daemon that lives less long has failed to start.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// So many failures in a row are enough.
const MOST_FAILURES: u32 = 3;

/// When and how often the daemon was started.
#[derive(Debug)]
pub(super) struct Lives {
    started: Instant,
    failures: u32,
}

impl Lives {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), failures: 0 }
    }

    /// The daemon has died: whether it is worth another try.
    pub(super) fn another(&mut self) -> bool {
        let was_short = self.started.elapsed() < SHORT_LIFE;
        self.failures = if was_short { self.failures + 1 } else { 0 };
        self.started = Instant::now();
        self.failures < MOST_FAILURES
    }
}

/// Starts the daemon with one end of a new connection; the other is returned.
pub(super) fn restart(
    token: &SingleThreaded,
    restart: &Restart,
) -> Result<(OwnedFd, PidFd), Error> {
    let (ours, theirs) = linux::socket::stream_pair()?;
    let mut arguments = restart.arguments.clone();
    arguments.push(SOCKET_ARGUMENT.into());
    arguments.push(theirs.as_raw_fd().to_string().into());
    let executable = linux::process::strings(&[&restart.executable])?;
    let arguments = linux::process::strings(&arguments)?;
    let environment = linux::process::strings(&restart.environment)?;
    let [executable] = &executable[..] else {
        return Err(linux::Error::new("start", "the daemon", Errno::INVAL).into());
    };
    let child = linux::process::spawn(token, || -> Infallible {
        let prepared = linux::inherit::close_all_but(token, &[theirs.as_fd()]).is_ok()
            && rustix::io::fcntl_setfd(&theirs, FdFlags::empty()).is_ok();
        // A session of its own keeps it from being ended with the terminal of the first daemon.
        drop(linux::process::new_session());
        linux::process::reset_signals();
        if prepared {
            _ = linux::process::exec(executable, &arguments, &environment);
        }
        linux::process::exit(127)
    })?;
    Ok((ours, child))
}
