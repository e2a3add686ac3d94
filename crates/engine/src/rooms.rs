//! What every verb works with: the mechanisms of the lower rooms, and the one bridge to them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use storage::Table;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::container::record::{Record, RunTime};
use crate::container::validate::Machine;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::images::Images;
use crate::launchers::Launchers;

/// Calls into synchronous rooms that run at the same time; the rest queues.
const BLOCKING: usize = 64;
/// The program that runs, whatever its path.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The mechanisms, and what is known of the machine.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) store: Arc<storage::Store>,
    pub(crate) networks: network::Networks,
    pub(crate) launchers: Launchers,
    pub(crate) images: Arc<Images>,
    pub(crate) events: Events,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) machine: Machine,
    pub(crate) kernel: policy::seccomp::KernelVersion,
    /// `/brig-<id6>`.
    pub(crate) cgroup_parent: String,
    /// What is masked in a container unless it asks for something else.
    pub(crate) masked_paths: Vec<String>,
    /// Capabilities this process can give away, without `CAP_`.
    pub(crate) available: Vec<String>,
    /// Our own program as a file of the host, as far as its path is known.
    pub(crate) executable: PathBuf,
    /// Where containers that want an init get it from, once one did.
    pub(crate) init_program: OnceLock<PathBuf>,
    /// `passwd` and `group` of images, by image id: images do not change.
    pub(crate) accounts: Mutex<HashMap<oci::Digest, Arc<Accounts>>>,
    pub(crate) bridge: Arc<Semaphore>,
    /// How many asked for the trash to be emptied since nobody did.
    pub(crate) sweeping: AtomicU64,
}

/// The text of a root's `passwd(5)` and `group(5)`; empty where it has none.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

/// The stack of a thread of [`Rooms::aside`], bytes: room for archives of directories as deep as they
/// may be. What is not used is no memory.
const STACK: usize = 8 << 20;

impl Rooms {
    /// The permits of [`Rooms::blocking`].
    pub(crate) fn new_bridge() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(BLOCKING))
    }

    /// Runs synchronous work on a thread of its own: the one bridge to the synchronous rooms.
    ///
    /// # Errors
    /// Those of the work; `Failed` when it panicked.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Arc<Self>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.bridge)
            .acquire_owned()
            .await
            .map_err(|_closed| Error::ShuttingDown)?;
        let rooms = Arc::clone(self);
        let task = self.tracker.spawn_blocking(move || {
            let _permit = permit;
            work(&rooms)
        });
        task.await.map_err(|error| {
            Error::failed(operation, "in the background", stdx::ErrorKind::Internal, error)
        })?
    }

    /// Starts work on a thread of its own without a permit: whoever waits for a client may do so for
    /// days, and must not keep the others from [`Rooms::blocking`].
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn aside(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let tracked = self.tracker.token();
        let work = move || {
            work();
            drop(tracked);
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK)
            .spawn(work)
            .map(drop)
            .map_err(|error| Error::io("start a thread to", name, error))
    }

    /// The file that is PID 1 of containers that want an init: our own executable where its path
    /// still leads to it, else a copy. (One that runs from a detached mount, or was replaced by a
    /// newer version, has no path.)
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(crate) fn init_program(&self) -> Result<PathBuf> {
        if let Some(path) = self.init_program.get() {
            return Ok(path.clone());
        }
        let failed = |error| Error::io("provide", "the init program", error);
        let own = fs::metadata(OWN_PROGRAM).map_err(failed)?;
        let named = fs::metadata(&self.executable);
        let is_own = named.is_ok_and(|file| (file.dev(), file.ino()) == (own.dev(), own.ino()));
        let path = if is_own {
            self.executable.clone()
        } else {
            copy_program(&self.store.layout().run).map_err(failed)?
        };
        Ok(self.init_program.get_or_init(|| path).clone())
    }

    /// Remembers a container: durably, or in the run directory when it is removed at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, record: &Record, run_time: &RunTime) -> Result<()> {
        if record.spec.host.auto_remove {
            return self.save_run_time(record, run_time);
        }
        self.store
            .records()
            .put(Table::CONTAINERS, &record.id, record)
            .map_err(|error| storage("record", &record.id, error))
    }

    /// Remembers what lives; with the whole record of a container that is removed at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save_run_time(&self, record: &Record, run_time: &RunTime) -> Result<()> {
        let record_too = record.spec.host.auto_remove.then(|| record.clone());
        let run_time = RunTime { record: record_too, live: run_time.live.clone() };
        self.store
            .transient()
            .put(Table::CONTAINERS, &record.id, &run_time)
            .map_err(|error| storage("record", &record.id, error))
    }

    /// Forgets a container. Goes on after an error.
    ///
    /// # Errors
    /// The first error.
    pub(crate) fn forget(&self, id: &str, auto_remove: bool) -> Result<()> {
        let transient = self.store.transient().delete(Table::CONTAINERS, id);
        let durable = if auto_remove {
            Ok(false)
        } else {
            self.store.records().delete(Table::CONTAINERS, id)
        };
        transient.and(durable).map(drop).map_err(|error| storage("forget", id, error))
    }

    /// The accounts of an image, when they have been read before.
    pub(crate) fn known_accounts(&self, image: &oci::Digest) -> Option<Arc<Accounts>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(image).cloned()
    }

    /// Keeps the accounts of an image.
    pub(crate) fn keep_accounts(&self, image: &oci::Digest, accounts: &Arc<Accounts>) {
        let mut known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 256 {
            known.clear();
        }
        known.insert(image.clone(), Arc::clone(accounts));
    }
}

/// Copies our own executable into a directory, replacing what an earlier one left there.
fn copy_program(directory: &Path) -> std::io::Result<PathBuf> {
    let path = directory.join("brig-init");
    let temporary = directory.join(format!(".brig-init.{}", std::process::id()));
    fs::copy(OWN_PROGRAM, &temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
    fs::rename(&temporary, &path)?;
    Ok(path)
}

/// An error of the store.
pub(crate) fn storage(operation: &'static str, object: &str, error: storage::Error) -> Error {
    Error::failed(operation, object, error.kind(), error)
}

/// An error of the network.
pub(crate) fn network(operation: &'static str, object: &str, error: network::Error) -> Error {
    Error::failed(operation, object, error.kind(), error)
}

/// An error of the kernel.
pub(crate) fn kernel(operation: &'static str, object: &str, error: linux::Error) -> Error {
    Error::failed(operation, object, error.kind(), error)
}

/// An error of a monitor or the launcher.
pub(crate) fn monitor(operation: &'static str, object: &str, error: monitor::Error) -> Error {
    Error::failed(operation, object, error.kind(), error)
}
