//! Where a daemon keeps its things.

use std::path::{Path, PathBuf};

/// The two directories of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// What must survive a reboot.
    pub data: PathBuf,
    /// What must not, the socket among it.
    pub run: PathBuf,
}

impl Roots {
    /// `DIR/data` and `DIR/run`, or the standard places.
    #[must_use]
    pub fn new(root: Option<&Path>) -> Self {
        let layout = root.map_or_else(storage::Layout::default, storage::Layout::at_root);
        Self { data: layout.data, run: layout.run }
    }

    /// The socket of the API.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.layout().socket()
    }

    /// The log of a daemon that was started on demand.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.layout().daemon_log()
    }

    /// The file with the daemon's process id.
    #[must_use]
    pub fn process_id_file(&self) -> PathBuf {
        self.run.join("daemon.pid")
    }

    pub(crate) fn layout(&self) -> storage::Layout {
        storage::Layout { data: self.data.clone(), run: self.run.clone() }
    }
}
