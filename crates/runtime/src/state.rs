//! What the command line keeps of a container between one command and the next.
//!
//! ```text
//! ROOT/ID/              mode 0700; making it takes the id
//!   group               a link: its text is the control group, before there is anything in it
//!   state.json          Record
//!   start.sock          where the process waits; removed when the gate is open
//! ```
//! ROOT lies on a tmpfs: nothing here outlives the kernel that the processes live in.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::cgroup::{Group, Layout};
use linux::process::{Pid, PidFd};
use oci::runtime::{Hooks, State, Status};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stdx::fs::Durability;

use crate::Error;
use crate::plan::check_id;

/// What is remembered of one container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The part that `state` shows; its status is as of the writing.
    pub state: State,
    /// When the process was born, in the kernel's ticks since boot: tells it from a later process
    /// with the same number.
    pub start_time: u64,
    /// The control group's path.
    pub cgroup: String,
    /// The root file system's path.
    pub rootfs: String,
    /// Its hooks for later: `poststart` and `poststop`.
    #[serde(skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Whether its session keyring is its own, and not that of whoever made it.
    #[serde(default = "yes")]
    pub has_own_keyring: bool,
    /// The unit of systemd's that has made its control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// When the container was made, in seconds since 1970 (UTC).
    pub created: u64,
}

/// A record of before that could be said.
const fn yes() -> bool {
    true
}

/// Names in a container's directory.
const RECORD: &str = "state.json";
const GATE: &str = "start.sock";
const GROUP: &str = "group";
const UNIT: &str = "unit";

/// The directory of all containers' states.
#[derive(Debug)]
pub struct States {
    root: PathBuf,
}

impl States {
    /// States below `root`, which is made when the first container is.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes an id for a new container: makes its directory, and writes down which control group it
    /// will have, and by which unit of systemd's, so that whoever finds nothing more there knows what else there may be.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::Invalid`] for what cannot be an id.
    pub fn reserve(&self, id: &str, group: &str, unit: Option<&str>) -> Result<(), Error> {
        check_id(id)?;
        let directory = self.root.join(id);
        let make = || fs::DirBuilder::new().mode(0o700).create(&directory);
        let result = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parents = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
                parents.and_then(|()| make())
            }
            other => other,
        };
        match result {
            Ok(()) => note(&directory, group, unit).map_err(|error| {
                drop(fs::remove_dir_all(&directory));
                failure("write", &directory, error)
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { id: id.to_owned() })
            }
            Err(error) => Err(failure("make", &directory, error)),
        }
    }

    /// Writes a container's record.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn save(&self, record: &Record) -> Result<(), Error> {
        let path = self.root.join(&record.state.id).join(RECORD);
        let text = serde_json::to_vec(record)
            .map_err(|error| failure("write", &path, io::Error::other(error)))?;
        stdx::fs::write_atomic(&path, &text, Durability::Volatile)
            .map_err(|error| failure("write", &path, error))
    }

    /// Reads a container's record.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn load(&self, id: &str) -> Result<Record, Error> {
        check_id(id)?;
        let path = self.root.join(id).join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound { id: id.to_owned() });
            }
            other => other.map_err(|error| failure("read", &path, error))?,
        };
        serde_json::from_slice(&text)
            .map_err(|error| failure("read", &path, io::Error::other(error)))
    }

    /// The control group of a container that may not have been made yet.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<String> {
        check_id(id).ok()?;
        fs::read_link(self.root.join(id).join(GROUP)).ok()?.into_os_string().into_string().ok()
    }

    /// The unit of systemd's of a container that may not have been made yet.
    #[must_use]
    pub fn unit(&self, id: &str) -> Option<String> {
        check_id(id).ok()?;
        fs::read_link(self.root.join(id).join(UNIT)).ok()?.into_os_string().into_string().ok()
    }

    /// A container's directory.
    #[must_use]
    pub fn directory(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// The gate's socket of a container.
    #[must_use]
    pub fn gate(&self, id: &str) -> PathBuf {
        self.root.join(id).join(GATE)
    }

    /// Forgets a container.
    ///
    /// # Errors
    /// What the kernel says, but not that there is nothing.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        check_id(id)?;
        let path = self.root.join(id);
        for name in [RECORD, GATE, GROUP, UNIT] {
            // What cannot be removed keeps the directory, which says why.
            drop(fs::remove_file(path.join(name)));
        }
        match fs::remove_dir(&path).or_else(|_| fs::remove_dir_all(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failure("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// All records, by id; those that cannot be read are left out.
    ///
    /// # Errors
    /// What the kernel says, but not that there is no directory.
    pub fn list(&self) -> Result<Vec<Record>, Error> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| failure("read", &self.root, error))?,
        };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut records: Vec<Record> = ids.filter_map(|id| self.load(&id).ok()).collect();
        records.sort_by(|one, other| one.state.id.cmp(&other.state.id));
        Ok(records)
    }

    /// Where in its life the container is now.
    ///
    /// # Errors
    /// As [`process_of`].
    pub fn status(&self, record: &Record) -> Result<Status, Error> {
        if process_of(record)?.is_none() {
            return Ok(Status::Stopped);
        }
        if self.gate(&record.state.id).exists() {
            return Ok(Status::Created);
        }
        let frozen = Layout::detect()
            .and_then(|layout| Group::open(layout, &record.cgroup)?.is_frozen())
            .unwrap_or(false);
        Ok(if frozen { Status::Paused } else { Status::Running })
    }
}

/// What is known before there is a container, as links: made at once, or not.
fn note(directory: &Path, group: &str, unit: Option<&str>) -> io::Result<()> {
    use std::os::unix::fs::symlink;
    if let Some(unit) = unit {
        symlink(unit, directory.join(UNIT))?;
    }
    symlink(group, directory.join(GROUP))
}

/// The container's first process, if it lives.
///
/// # Errors
/// When the kernel does not say: a container that cannot be seen is not taken for one that has ended.
pub fn process_of(record: &Record) -> Result<Option<PidFd>, Error> {
    let Some(pid) = Pid::from_raw(record.state.pid) else { return Ok(None) };
    let process = match PidFd::open(pid) {
        Err(error) if error.errno() == Some(Errno::SRCH) => return Ok(None),
        other => other?,
    };
    // Read after the descriptor was opened: the number still meant this process then.
    let is_same = start_time(record.state.pid) == Some(record.start_time);
    Ok(is_same.then_some(process))
}

/// When a living process was born (proc(5), `/proc/PID/stat`, field 22); `None` when it has ended.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// How long a process has lived, whatever was done to the clock since; `None` when it has ended. To
/// the hundredth of a second.
#[must_use]
pub fn age(pid: i32) -> Option<Duration> {
    let born = Duration::from_millis(start_time(pid)?.checked_mul(MILLISECONDS_PER_TICK)?);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::try_from(now).ok()?;
    Some(now.saturating_sub(born))
}

/// The kernel tells times in hundredths of a second on every architecture (`USER_HZ`).
const MILLISECONDS_PER_TICK: u64 = 10;

/// The program's name, in parentheses, may contain anything.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn failure(operation: &'static str, path: &Path, source: io::Error) -> Error {
    Error::State { operation, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::{Record, States, parse_start_time, start_time};
    use crate::Error;

    #[test]
    fn ids_are_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let states = States::new(directory.path().join("new"));
        states.reserve("one", "/group", None).unwrap();
        assert_eq!(states.group("one").as_deref(), Some("/group"));
        assert!(matches!(states.reserve("one", "/group", None), Err(Error::AlreadyExists { .. })));
        assert!(matches!(states.load("one"), Err(Error::NotFound { .. })));
        assert!(states.reserve("../one", "/group", None).is_err());
        let mut record = Record::default();
        record.state.id = "one".to_owned();
        states.save(&record).unwrap();
        assert_eq!(states.list().unwrap().len(), 1);
        assert_eq!(states.status(&record).unwrap(), oci::runtime::Status::Stopped);
        states.remove("one").unwrap();
        assert!(states.list().unwrap().is_empty());
    }

    #[test]
    fn start_times() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 999 1";
        assert_eq!(parse_start_time(line), Some(12345));
        assert_eq!(parse_start_time(&line.replace(") S", ") Z")), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(own).is_some());
    }
}
