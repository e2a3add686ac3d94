//! Stopping, continuing and killing all processes of a group.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process};

use super::file;
use super::group::Group;
use super::removal::{Waited, wait_for_event};
use crate::Error;

/// How long stopping may take: a process in an uninterruptible wait does not stop before it ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Freezes or thaws: in the v2 hierarchy where there is one (it wakes its waiters, and a frozen
/// process can be killed), otherwise by the v1 freezer.
pub(super) fn set(group: &Group, frozen: bool) -> Result<(), Error> {
    if let Some(place) = group.unified().filter(|place| has_freeze(place.directory())) {
        return set_v2(place.directory(), frozen);
    }
    match group.place("freezer") {
        Some(place) => set_v1(place.directory(), frozen),
        None => Err(Error::new("find the cgroup controller", "freezer", Errno::OPNOTSUPP)),
    }
}

/// Whether the group is frozen.
pub(super) fn is_frozen(group: &Group) -> Result<bool, Error> {
    if let Some(place) = group.unified().filter(|place| has_freeze(place.directory())) {
        let frozen = file::read(place.directory(), "cgroup.freeze")?;
        return Ok(frozen.trim() == "1");
    }
    match group.place("freezer") {
        Some(place) => Ok(file::read(place.directory(), "freezer.state")?.trim() != "THAWED"),
        None => Ok(false),
    }
}

/// Kills everything.
pub(super) fn kill(group: &Group) -> Result<(), Error> {
    if let Some(place) = group.unified() {
        match file::write(place.directory(), "cgroup.kill", "1") {
            Err(error) if !file::is_missing(&error) => return Err(error),
            Ok(()) => return Ok(()),
            // The group is gone, and so nobody is in it.
            Err(_) if !file::exists(place.directory(), "cgroup.procs") => return Ok(()),
            Err(_) => {}
        }
    }
    // Frozen, none of them can fork away while the others are signalled.
    let frozen = set(group, true);
    for pid in group.processes()? {
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(Error::new("kill process", pid.as_raw_nonzero(), errno)),
        }
    }
    frozen.and_then(|()| set(group, false))
}

fn has_freeze(directory: BorrowedFd<'_>) -> bool {
    file::exists(directory, "cgroup.freeze")
}

fn set_v2(directory: BorrowedFd<'_>, frozen: bool) -> Result<(), Error> {
    file::write(directory, "cgroup.freeze", if frozen { "1" } else { "0" })?;
    let until = Instant::now() + PATIENCE;
    let expected = u64::from(frozen);
    let reached = |text: &str| file::keyed(text, "frozen") == Some(expected);
    if wait_for_event(directory, until, reached)? != Waited::TimedOut {
        return Ok(());
    }
    file::write(directory, "cgroup.freeze", "0")?;
    Err(Error::new("freeze", "the cgroup", Errno::TIMEDOUT))
}

/// The v1 freezer wakes nobody: its state is read after growing pauses, as reading it is what makes
/// the kernel look again.
fn set_v1(directory: BorrowedFd<'_>, frozen: bool) -> Result<(), Error> {
    let wanted = if frozen { "FROZEN" } else { "THAWED" };
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(100);
    loop {
        file::write(directory, "freezer.state", wanted)?;
        if file::read(directory, "freezer.state")?.trim() == wanted {
            return Ok(());
        }
        if Instant::now() >= until {
            file::write(directory, "freezer.state", "THAWED")?;
            return Err(Error::new("freeze", "the cgroup", Errno::TIMEDOUT));
        }
        _ = poll(&mut [], Timespec::try_from(pause).ok().as_ref());
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
