//! The launcher, and another one when it has died.

use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use monitor::client::Launcher;
use monitor::launcher::{self, Restart};

use crate::error::{Error, Result};
use crate::rooms;

/// The launcher of now.
#[derive(Debug)]
pub(crate) struct Launchers {
    now: Mutex<Present>,
    another: Option<Restart>,
    /// No other one is wanted: the engine closes, or launchers do not live.
    is_over: AtomicBool,
    /// What each launcher keeps over a crash of ours.
    kept: Mutex<Vec<(&'static str, Vec<OwnedFd>)>>,
}

#[derive(Debug)]
struct Present {
    launcher: Arc<Launcher>,
    /// Our child, unless it was there before us.
    process: Option<Child>,
}

impl Launchers {
    pub(crate) fn new(launcher: Launcher, another: Option<Restart>) -> Self {
        let now = Present { launcher: Arc::new(launcher), process: None };
        Self {
            now: Mutex::new(now),
            another,
            is_over: AtomicBool::new(false),
            kept: Mutex::default(),
        }
    }

    /// The launcher, dead or alive.
    pub(crate) fn now(&self) -> Arc<Launcher> {
        Arc::clone(&lock(&self.now).launcher)
    }

    /// The launcher that came after one which has died, executed if nobody has done so yet.
    ///
    /// # Errors
    /// `Unavailable` when there shall be none, or it cannot be executed.
    pub(crate) fn after(&self, dead: &Arc<Launcher>) -> Result<Arc<Launcher>> {
        let mut now = lock(&self.now);
        if !Arc::ptr_eq(&now.launcher, dead) {
            return Ok(Arc::clone(&now.launcher));
        }
        let another = self.another.as_ref().filter(|_| !self.is_over.load(Ordering::Acquire));
        let Some(another) = another else {
            let gone = Error::Conflict("it has died".to_owned());
            return Err(Error::failed("reach", "the launcher", stdx::ErrorKind::Unavailable, gone));
        };
        let (launcher, process) = launcher::execute(another)
            .map_err(|error| rooms::monitor("start", "another launcher", error))?;
        for (key, fds) in lock(&self.kept).iter() {
            store(&launcher, key, fds);
        }
        let before = now.process.replace(process);
        now.launcher = Arc::new(launcher);
        let found = Arc::clone(&now.launcher);
        drop(now);
        if let Some(mut before) = before {
            // It has closed its connection: it is dead or dying.
            drop(before.kill());
            drop(before.wait());
        }
        Ok(found)
    }

    /// Has every launcher keep these descriptors for the next daemon.
    pub(crate) fn keep(&self, key: &'static str, fds: Vec<OwnedFd>) {
        store(&self.now(), key, &fds);
        lock(&self.kept).push((key, fds));
    }

    /// Whether no other launcher will come.
    pub(crate) fn are_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Starts no other one any more.
    pub(crate) fn give_up(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// The daemon ends: so does the launcher, with its last monitor.
    ///
    /// # Errors
    /// When it is gone already.
    pub(crate) fn shutdown(&self) -> Result<(), monitor::Error> {
        self.give_up();
        self.now().shutdown()
    }
}

fn store(launcher: &Launcher, key: &str, fds: &[OwnedFd]) {
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    if let Err(error) = launcher.store(key, &fds) {
        tracing::warn!(error = %stdx::chain(&error), "the launcher keeps no sockets");
    }
}

/// A panic while it was held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
