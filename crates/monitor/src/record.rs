//! What a monitor leaves in the run directory for whoever comes after it, and what launcher and
//! monitor say to each other.

use std::path::{Path, PathBuf};

use oci::runtime::Seccomp;
use serde::{Deserialize, Serialize};
use stdx::fs::{Durability, write_atomic};

use crate::Error;
use crate::protocol::{Launch, Log, Started, Stdin};

/// The file's name.
const FILE: &str = "monitor.json";

/// What is known of a container beyond its descriptors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) run_directory: PathBuf,
    pub(crate) cgroup: Option<String>,
    pub(crate) log: Option<Log>,
    pub(crate) stdin: Stdin,
    pub(crate) terminal: bool,
    /// Whether all processes of the container end with the first one.
    pub(crate) has_pid_namespace: bool,
    pub(crate) started: Option<Started>,
    /// Needed by execs only, and too long to be kept in memory: on disk alone.
    pub(crate) seccomp: Option<Seccomp>,
    /// As `seccomp`.
    #[serde(default)]
    pub(crate) landlock: Option<String>,
}

impl Record {
    pub(crate) fn of(launch: &Launch) -> Self {
        let linux = launch.spec.linux.as_ref();
        let private = |namespace: &oci::runtime::Namespace| {
            namespace.kind == oci::runtime::NamespaceKind::Pid && namespace.path.is_none()
        };
        Self {
            id: launch.id.clone(),
            run_directory: launch.run_directory.clone(),
            cgroup: linux.and_then(|linux| linux.cgroups_path.clone()),
            log: launch.log.clone(),
            stdin: launch.stdin,
            terminal: launch.spec.process.as_ref().is_some_and(|process| process.terminal),
            has_pid_namespace: linux.is_some_and(|linux| linux.namespaces.iter().any(private)),
            started: None,
            seccomp: linux.and_then(|linux| linux.seccomp.clone()),
            landlock: launch.spec.annotations.get(runtime::LANDLOCK).cloned(),
        }
    }

    /// Writes the record; the filter is then no longer kept here.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        let path = self.run_directory.join(FILE);
        let bytes = serde_json::to_vec(self).map_err(std::io::Error::from);
        self.seccomp = None;
        self.landlock = None;
        bytes
            .and_then(|bytes| write_atomic(&path, &bytes, Durability::Volatile))
            .map_err(|source| file("write", &path, source))
    }

    pub(crate) fn read(run_directory: &Path) -> Result<Self, Error> {
        let path = run_directory.join(FILE);
        std::fs::read(&path)
            .and_then(|bytes| serde_json::from_slice(&bytes).map_err(std::io::Error::from))
            .map_err(|source| file("read", &path, source))
    }

    pub(crate) fn remove(run_directory: &Path) {
        drop(std::fs::remove_file(run_directory.join(FILE)));
    }
}

/// An error about a file of the run directory.
pub(crate) fn file(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { operation, path: path.display().to_string(), source }
}

/// Monitor → launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    /// The container runs. Its pidfd and these streams' descriptors are sent along: keep them in
    /// case this monitor is killed.
    Running { pid: i32, streams: Vec<KeptStream> },
    /// The container's input has ended: close the writing end that is kept.
    StdinClosed,
    /// The container has ended: close everything that is kept, and say so.
    Ended,
}

/// A descriptor that the launcher keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptStream {
    /// The writing end of standard input.
    Stdin,
    /// The reading end of standard output.
    Stdout,
    /// The reading end of standard error.
    Stderr,
    /// The terminal's master.
    Terminal,
}

/// Launcher → monitor.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// The answer to [`Note::Ended`].
    Dropped,
    /// How the container ended that was taken over: it is the launcher's child.
    Reaped { code: i32, signal: Option<i32> },
}
