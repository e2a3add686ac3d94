//! Being told that memory ran out.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::fs::inotify;

use super::{Version, file};
use crate::Error;

/// Tells when the kernel kills a process of a group because its memory ran out.
#[derive(Debug)]
pub struct OomWatch {
    /// An eventfd (v1) or an inotify instance (v2).
    wake: OwnedFd,
    counter: OwnedFd,
    last: u64,
    version: Version,
}

impl OomWatch {
    pub(super) fn new(directory: BorrowedFd<'_>, version: Version) -> Result<Self, Error> {
        let (wake, counter) = match version {
            Version::V1 => watch_v1(directory)?,
            Version::V2 => watch_v2(directory)?,
        };
        Ok(Self { wake, counter, last: 0, version })
    }

    /// The processes killed for memory so far. Call it when the descriptor is readable, which it
    /// then no longer is. On v1 the event comes just before the kill, so that the count may still
    /// be the old one: [`OomWatch::count`] after the exit tells for sure.
    pub fn kills(&mut self) -> u64 {
        let mut piece = [0; 4096];
        // An empty read would block (EAGAIN here): both descriptors are non-blocking.
        _ = rustix::io::read(&self.wake, &mut piece);
        self.count()
    }

    /// Whether the descriptor is readable for nothing else. On v2 it is for every line of
    /// `memory.events`, of which most tell of a limit that was met and nobody killed.
    #[must_use]
    pub fn wakes_for_kills_only(&self) -> bool {
        self.version == Version::V1
    }

    /// The count alone; the last one known when the group has been removed.
    pub fn count(&mut self) -> u64 {
        if let Ok(text) = file::read_open(&self.counter, "memory events") {
            self.last = file::keyed(&text, "oom_kill").unwrap_or(self.last);
        }
        self.last
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

fn watch_v1(directory: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Error> {
    let control = file::open(directory, "memory.oom_control", OFlags::RDONLY)?;
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|errno| Error::new("create", "an eventfd", errno))?;
    let registration = format!("{} {}", wake.as_raw_fd(), control.as_raw_fd());
    file::write(directory, "cgroup.event_control", &registration)?;
    Ok((wake, control))
}

fn watch_v2(directory: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), Error> {
    let counter = file::open(directory, "memory.events", OFlags::RDONLY)?;
    let wake = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(|errno| Error::new("create", "an inotify instance", errno))?;
    let path = format!("/proc/self/fd/{}", counter.as_raw_fd());
    inotify::add_watch(&wake, path, inotify::WatchFlags::MODIFY)
        .map_err(|errno| Error::new("watch", "memory.events", errno))?;
    Ok((wake, counter))
}
