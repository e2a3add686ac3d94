//! Local volumes: directories that outlive containers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use linux::path::Root;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stdx::fs::{Durability, write_atomic};

use crate::trash::{Trash, make_directory};
use crate::{Error, Records, Result, Table, Usage, pending, tree};

/// What a volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; without one it is anonymous and gets 64 random hexadecimal digits.
    pub name: Option<String>,
    /// Free text by key.
    pub labels: BTreeMap<String, String>,
    /// Options of the local driver.
    pub options: BTreeMap<String, String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Whether nobody named it.
    pub anonymous: bool,
    /// Free text by key.
    pub labels: BTreeMap<String, String>,
    /// Options of the local driver.
    pub options: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created: String,
}

/// The volumes of a store.
#[derive(Debug)]
pub struct Volumes {
    root: PathBuf,
    records: Arc<Records>,
    trash: Arc<Trash>,
    /// Held while a volume is made, filled or removed.
    turn: Mutex<()>,
}

/// The file that says that a copy-up was begun; a volume that has it was never used.
const COPYING: &str = "copying";

impl Volumes {
    pub(crate) const fn new(root: PathBuf, records: Arc<Records>, trash: Arc<Trash>) -> Self {
        Self { root, records, trash, turn: Mutex::new(()) }
    }

    /// Makes a volume, durably. One of the same name is returned as it is, with `false`; its
    /// directory is there afterwards in any case.
    ///
    /// # Errors
    /// `InvalidInput` for a name that breaks Docker's rule.
    pub fn create(&self, request: &NewVolume) -> Result<(Volume, bool)> {
        let anonymous = request.name.is_none();
        let name = request.name.clone().unwrap_or_else(stdx::random::hex_id);
        check_name(&name)?;
        let _turn = self.turn();
        // Other users may pass through, as with Docker, to what the volume's own modes allow.
        make_directory(&self.root.join(&name), 0o701)?;
        let files = self.path(&name);
        if !files.is_dir() {
            make_directory(&files, 0o755)?;
        }
        if let Some(volume) = self.records.get(Table::VOLUMES, &name)? {
            return Ok((volume, false));
        }
        let volume = Volume {
            anonymous,
            labels: request.labels.clone(),
            options: request.options.clone(),
            created: jiff::Timestamp::now().to_string(),
            name,
        };
        self.records.put(Table::VOLUMES, &volume.name, &volume)?;
        Ok((volume, true))
    }

    /// A volume by name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, name: &str) -> Result<Volume> {
        let volume = self.records.get(Table::VOLUMES, name)?;
        volume.ok_or_else(|| Error::NotFound { noun: "volume", name: name.to_owned() })
    }

    /// All volumes, sorted by name.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let volumes = self.records.list(Table::VOLUMES)?;
        Ok(volumes.into_iter().map(|(_, volume)| volume).collect())
    }

    /// Removes a volume and what is in it. Whether it is in use is for the caller to know.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _turn = self.turn();
        let volume = self.get(name)?;
        // The files first: a record without files is an empty volume, files without a record would
        // come back under a new volume of that name.
        self.trash.take(&self.root.join(&volume.name))?;
        self.records.delete(Table::VOLUMES, name).map(|_| ())
    }

    /// The directory to be mounted.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let name = if check_name(name).is_ok() { name } else { "_" };
        self.root.join(name).join("_data")
    }

    /// What is in it; hard links count once.
    ///
    /// # Errors
    /// `NotFound`, or when it cannot be read.
    pub fn usage(&self, name: &str) -> Result<Usage> {
        self.get(name)?;
        tree::usage(&self.path(name))
    }

    /// Copies what a container's root (`root`, a directory such as [`crate::Snapshots::view`] gives)
    /// has at `path` into the volume if that is empty, with owners, modes, times and extended
    /// attributes. A path that is missing there or no directory copies nothing. Symbolic links on
    /// the way are resolved inside the root. Says whether anything was copied.
    ///
    /// # Errors
    /// `NotFound` for the volume, or when copying fails; the volume is then empty again.
    pub fn copy_up(&self, name: &str, root: BorrowedFd<'_>, path: &Path) -> Result<bool> {
        let volume = self.get(name)?;
        let files = self.path(name);
        let fail = |source| Error::io("copy to volume", &files, source);
        let Some(source) = find_directory(root, path).map_err(fail)? else { return Ok(false) };
        let _turn = self.turn();
        let marker = self.root.join(name).join(COPYING);
        if marker.exists() {
            self.clear(&files)?;
        } else if !pending::is_empty(&files)? {
            return Ok(false);
        }
        let durability = if volume.anonymous { Durability::Volatile } else { Durability::Durable };
        write_atomic(&marker, b"", durability).map_err(fail)?;
        let target = File::open(&files).map_err(fail)?;
        if let Err(error) = tree::copy(source.as_fd(), target.as_fd()) {
            self.clear(&files)?;
            return Err(fail(error));
        }
        // The mark may go once what it guards is on the disk, and must be gone before it is used.
        if durability == Durability::Durable {
            rustix::fs::syncfs(&target).map_err(|errno| fail(errno.into()))?;
        }
        fs::remove_file(&marker).map_err(fail)?;
        if durability == Durability::Durable {
            pending::sync_directory(&self.root.join(name))?;
        }
        pending::is_empty(&files).map(|empty| !empty)
    }

    fn clear(&self, files: &Path) -> Result<()> {
        let entries = fs::read_dir(files).map_err(|source| Error::io("read", files, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Error::io("read", files, source))?;
            self.trash.take(&entry.path())?;
        }
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory at a path of the root, open; `None` when there is none.
fn find_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    let root = Root::from_fd(root.try_clone_to_owned()?);
    match root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) => match error.errno() {
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            _ => Err(io::Error::other(error)),
        },
    }
}

/// Docker's rule, which also keeps a name from being anything but one component of a path.
fn check_name(name: &str) -> Result<()> {
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if first && (2..=255).contains(&name.len()) && name.bytes().all(rest) {
        return Ok(());
    }
    let rule = "want two or more letters, digits, `_`, `.` or `-`, the first a letter or digit";
    Err(Error::InvalidName { noun: "volume", name: name.chars().take(80).collect(), rule })
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names() {
        for name in ["ab", "a.b-c_d", "0x"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a", ".a", "..", "a/b", "../x", "a b", "é1", &"x".repeat(256)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
