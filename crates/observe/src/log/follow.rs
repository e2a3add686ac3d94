//! Waiting for more of a log.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use linux::event::{Epoll, EventFd, Interest};
use linux::inotify::{Inotify, Watch};

use super::{files, timestamp};
use crate::Error;

/// Ends a reader that follows, from another thread. Dropping it ends nothing.
#[derive(Debug, Clone)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    is_stopped: AtomicBool,
    event: EventFd,
}

impl Stop {
    pub(super) fn new() -> Result<Self, Error> {
        let shared = Shared { is_stopped: AtomicBool::new(false), event: EventFd::new()? };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is in the log now is still given; then the reader ends.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        self.shared.event.raise();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::SeqCst)
    }
}

/// Waits for changes of a log's files.
#[derive(Debug)]
pub(super) struct Follow {
    epoll: Epoll,
    inotify: Inotify,
    /// The watch on the current file.
    watch: Option<i32>,
    stop: Stop,
}

impl Follow {
    /// Watches the directory of the log, in which files come and go.
    pub(super) fn new(path: &Path, stop: Stop) -> Result<Self, Error> {
        let inotify = Inotify::new()?;
        let names = Watch::CREATE | Watch::MOVED_TO | Watch::DELETE | Watch::DELETE_SELF;
        inotify.add(files::directory(path), names)?;
        let epoll = Epoll::new()?;
        epoll.add(inotify.as_fd(), 0, Interest::IN)?;
        epoll.add(stop.shared.event.as_fd(), 1, Interest::IN)?;
        Ok(Self { epoll, inotify, watch: None, stop })
    }

    /// Watches this file, and no other any more, for bytes appended.
    pub(super) fn watch(&mut self, file: &File) -> Result<(), Error> {
        if let Some(watch) = self.watch.take() {
            self.inotify.remove(watch);
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.watch = Some(self.inotify.add(Path::new(&path), Watch::MODIFY)?);
        Ok(())
    }

    /// Waits until something has changed, the reader is told to stop, or `until` has passed.
    pub(super) fn wait(&self, until: Option<u64>) -> Result<(), Error> {
        let time = until.map(|until| {
            // One millisecond more: the kernel may round down.
            Duration::from_nanos(until.saturating_sub(timestamp::now())) + Duration::from_millis(1)
        });
        self.epoll.wait(time, &mut Vec::new())?;
        self.inotify.drain()?;
        Ok(())
    }

    pub(super) fn is_over(&self, until: Option<u64>) -> bool {
        self.stop.is_stopped() || until.is_some_and(|until| timestamp::now() > until)
    }
}
