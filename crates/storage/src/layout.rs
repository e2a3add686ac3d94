//! Where everything lies.
//!
//! ```text
//! <data>/                         0710  /var/lib/brig, or DIR/data
//!   lock                          held by flock as long as a daemon lives; its process id
//!   instance                      the instance's id, made once
//!   boot                          the boot in which the store was last open
//!   records.redb                  durable records: containers, networks, volumes, images, …
//!   records.redb.schema-N         the copy made before migrating from schema N
//!   daemon.log                    of a daemon that started itself
//!   content/                0700  blobs as they came
//!     <hex>                       durable
//!     pending/<hex>               whole and verified, not yet known to be on the disk
//!     partial/<hex>[.random]      being written, or cut off and waiting to be resumed
//!   layers/                 0710  unpacked layers, by diff id
//!     <hex>/fs/                   what overlay takes as a lower directory
//!     <hex>/layer.json            size and number of entries
//!     pending/<hex>/              whole and verified, not yet known to be on the disk
//!     partial/<random>/           being unpacked
//!     empty/                      the lower of an image without layers
//!   snapshots/              0710
//!     <container>/{upper,work}/   a container's own files
//!     <container>/snapshot.json   what lies below them
//!   containers/             0710
//!     <container>/<container>-json.log…
//!   volumes/                0711
//!     <name>/_data/
//!     <name>/copying              while it is filled from an image
//!   trash/                  0700  renamed here at once, removed later
//! <run>/                          /run/brig, or DIR/run; all below is removed after a reboot
//!   boot                          the boot it belongs to
//!   start.lock                    held by flock while a daemon starts
//!   brig.sock                     the API
//!   daemon.pid                    the daemon's process id
//!   brig-init                     the program, where its own file has been replaced
//!   records/<table>/<key>         run-time records
//!   containers/<container>/       monitor.sock, exit.json, …
//! ```
//!
//! Directories that somebody else has filled are refused: `instance` says that a data directory is
//! ours, it or `boot` that a run directory is.
//!
//! A directory is entered by root only: with set-user-id programs in layers and snapshots, other
//! users of the host must not reach them (CVE-2021-41091). Group access (0710) is for a container's
//! own root in a user namespace.

use std::io;
use std::path::{Path, PathBuf};

/// The one place that knows paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What must survive a reboot.
    pub data: PathBuf,
    /// What must not.
    pub run: PathBuf,
}

/// The standard places.
impl Default for Layout {
    fn default() -> Self {
        Self { data: PathBuf::from("/var/lib/brig"), run: PathBuf::from("/run/brig") }
    }
}

impl Layout {
    /// `DIR/data` and `DIR/run`.
    #[must_use]
    pub fn at_root(root: &Path) -> Self {
        Self { data: root.join("data"), run: root.join("run") }
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run.join("brig.sock")
    }

    /// The log of a daemon that started itself.
    #[must_use]
    pub fn daemon_log(&self) -> PathBuf {
        self.data.join("daemon.log")
    }

    /// A container's directory for what must survive a reboot, its logs first of all.
    #[must_use]
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.data.join("containers").join(component(id))
    }

    /// A container's directory for run-time state.
    #[must_use]
    pub fn container_run_dir(&self, id: &str) -> PathBuf {
        self.run.join("containers").join(component(id))
    }

    /// All containers' run-time directories.
    #[must_use]
    pub fn containers_run_dir(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// The monitor's socket of a container.
    #[must_use]
    pub fn monitor_socket(&self, id: &str) -> PathBuf {
        self.container_run_dir(id).join("monitor.sock")
    }

    /// A container's log.
    #[must_use]
    pub fn log_path(&self, id: &str) -> PathBuf {
        self.container_dir(id).join(format!("{}-json.log", component(id)))
    }

    /// The database of records.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.data.join("records.redb")
    }

    /// Takes the lock under which daemons start, waiting for its holder; makes the run directory.
    ///
    /// # Errors
    /// When the directories have somebody else's files, or the lock's cannot be made.
    pub fn start_lock(&self) -> io::Result<crate::StartLock> {
        crate::ownership::check(self).map_err(|error| match &error {
            crate::Error::Io { source, .. } => io::Error::new(source.kind(), error),
            _ => io::Error::other(error),
        })?;
        crate::lock::start(&self.run)
    }

    /// As [`Self::start_lock`], without waiting: `None` when somebody else starts just now.
    ///
    /// # Errors
    /// When the run directory cannot be made or the lock file not opened.
    pub fn try_start_lock(&self) -> io::Result<Option<crate::StartLock>> {
        crate::lock::try_start(&self.run)
    }

    /// Whether a daemon holds the data directory, and its process id.
    ///
    /// # Errors
    /// When the lock cannot be looked at; a directory that does not exist is held by nobody.
    pub fn owner(&self) -> io::Result<Option<u32>> {
        crate::lock::owner(&self.data)
    }

    pub(crate) fn content(&self) -> PathBuf {
        self.data.join("content")
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.data.join("snapshots")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.data.join("trash")
    }
}

/// An id as a file name: whatever would make it anything but one component is replaced, so that no
/// id, however it came about, names another place.
fn component(id: &str) -> String {
    let safe =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    match id {
        "" | "." | ".." => "_".to_owned(),
        _ => id.chars().map(safe).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;
    use std::path::Path;

    #[test]
    fn ids_are_one_component() {
        let layout = Layout::at_root(Path::new("/r"));
        assert_eq!(layout.container_dir("ab"), Path::new("/r/data/containers/ab"));
        assert_eq!(layout.container_dir("../x/y"), Path::new("/r/data/containers/.._x_y"));
        assert_eq!(layout.container_dir(".."), Path::new("/r/data/containers/_"));
        assert_eq!(layout.log_path("ab"), Path::new("/r/data/containers/ab/ab-json.log"));
    }
}
