//! Removing groups, and finding who is still in them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::group::{Place, in_hierarchy};
use super::{Version, file};
use crate::Error;

/// How long dying processes may keep a group busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes a group from one hierarchy.
pub(super) fn remove(place: &Place, relative: &str) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::fs::unlinkat(place.hierarchy.root(), relative, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if Instant::now() < until => {
                remove_children(place.directory())?;
                wait_until_empty(place, until, &mut pause)?;
            }
            Err(errno) => {
                let object = in_hierarchy(place.hierarchy, relative);
                return Err(Error::new("remove cgroup", object, errno));
            }
        }
    }
}

/// Removes the groups below, deepest first; one that is busy is left to the caller's next try.
fn remove_children(directory: BorrowedFd<'_>) -> Result<(), Error> {
    for name in children(directory)? {
        if rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR) == Err(Errno::BUSY) {
            if let Ok(child) = open_child(directory, &name) {
                remove_children(child.as_fd())?;
            }
            _ = rustix::fs::unlinkat(directory, &name, AtFlags::REMOVEDIR);
        }
    }
    Ok(())
}

/// Waits for something that may let the group go: its `populated` event on v2, the end of a process
/// that is in it on v1, or a moment, doubled each time, when the kernel has not finished yet.
fn wait_until_empty(place: &Place, until: Instant, pause: &mut Duration) -> Result<(), Error> {
    if place.hierarchy.version == Version::V2 {
        let empty = |text: &str| file::keyed(text, "populated") == Some(0);
        if wait_for_event(place.directory(), until, empty)? == Waited::Later {
            return Ok(());
        }
    }
    let mut processes = Vec::new();
    processes_below(place.directory(), &mut processes)?;
    let pidfds: Vec<OwnedFd> =
        processes.iter().filter_map(|pid| pidfd_open(*pid, PidfdFlags::empty()).ok()).collect();
    let mut waiting: Vec<PollFd<'_>> =
        pidfds.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)).collect();
    let left = until.saturating_duration_since(Instant::now());
    let time = if waiting.is_empty() { left.min(*pause) } else { left };
    *pause = pause.saturating_mul(2);
    match poll(&mut waiting, Timespec::try_from(time).ok().as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::new("wait for", "the processes of a cgroup", errno)),
    }
}

/// How a wait for `cgroup.events` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It was so from the start.
    AtOnce,
    /// It has become so.
    Later,
    /// It is still not so.
    TimedOut,
}

/// Waits until `cgroup.events` of a v2 group satisfies `wanted`, woken by the kernel.
pub(super) fn wait_for_event(
    directory: BorrowedFd<'_>,
    until: Instant,
    wanted: impl Fn(&str) -> bool,
) -> Result<Waited, Error> {
    let events = file::open(directory, "cgroup.events", OFlags::RDONLY)?;
    let mut result = Waited::AtOnce;
    loop {
        if wanted(&file::read_open(&events, "cgroup.events")?) {
            return Ok(result);
        }
        result = Waited::Later;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Waited::TimedOut);
        }
        let mut waiting = [PollFd::new(&events, PollFlags::PRI)];
        match poll(&mut waiting, Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new("wait for", "cgroup.events", errno)),
        }
    }
}

/// Collects the processes of a group and the groups below.
pub(super) fn processes_below(
    directory: BorrowedFd<'_>,
    processes: &mut Vec<Pid>,
) -> Result<(), Error> {
    let text = file::read_optional(directory, "cgroup.procs")?.unwrap_or_default();
    processes.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for name in children(directory)? {
        if let Ok(child) = open_child(directory, &name) {
            processes_below(child.as_fd(), processes)?;
        }
    }
    Ok(())
}

fn open_child(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// The names of the groups directly below.
fn children(directory: BorrowedFd<'_>) -> Result<Vec<std::ffi::CString>, Error> {
    let refuse = |errno| Error::new("list", "a cgroup", errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = match rustix::fs::openat(directory, ".", flags, Mode::empty()) {
        Ok(readable) => readable,
        Err(Errno::NOENT | Errno::NODEV) => return Ok(Vec::new()),
        Err(errno) => return Err(refuse(errno)),
    };
    let mut names = Vec::new();
    for entry in Dir::new(readable).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
