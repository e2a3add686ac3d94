//! Being told of changes to files.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;
use rustix::io::Errno;

use crate::Error;

/// An inotify instance (inotify(7)), non-blocking and close-on-exec.
#[derive(Debug)]
pub struct Inotify {
    fd: OwnedFd,
}

/// What to be told of.
pub use rustix::fs::inotify::WatchFlags as Watch;

impl Inotify {
    /// A new instance that watches nothing.
    ///
    /// # Errors
    /// When no descriptor, or none of the user's instances, is left.
    pub fn new() -> Result<Self, Error> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|errno| Error::new("create", "an inotify instance", errno))?;
        Ok(Self { fd })
    }

    /// Watches a path; the number tells its events apart.
    ///
    /// # Errors
    /// `NotFound` without the path; `Exhausted` when none of the user's watches is left.
    pub fn add(&self, path: &Path, watch: Watch) -> Result<i32, Error> {
        inotify::add_watch(&self.fd, path, watch)
            .map_err(|errno| Error::new("watch", path.display(), errno))
    }

    /// Stops watching; a watch that the kernel has removed already is left alone.
    pub fn remove(&self, watch: i32) {
        _ = inotify::remove_watch(&self.fd, watch);
    }

    /// Takes all waiting events and says whether there was one.
    ///
    /// # Errors
    /// When reading fails.
    pub fn drain(&self) -> Result<bool, Error> {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut space);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(_) => any = true,
                Err(Errno::AGAIN) => return Ok(any),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("read", "inotify events", errno)),
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
