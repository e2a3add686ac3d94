//! From "written" to "on the disk": one `syncfs` for everything that is pending.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::trash::Trash;
use crate::{Error, Layout, Result};

/// Moves what is under `content/pending` and `layers/pending` to where durable things are.
#[derive(Debug)]
pub(crate) struct Pending {
    places: [PathBuf; 2],
    turn: Mutex<()>,
}

impl Pending {
    pub(crate) fn new(layout: &Layout) -> Self {
        Self { places: [layout.content(), layout.layers()], turn: Mutex::new(()) }
    }

    /// Makes everything committed before the call durable.
    pub(crate) fn sync(&self, trash: &Trash) -> Result<()> {
        // Poisoning means that another thread panicked between two renames; the work is idempotent.
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut waiting = Vec::new();
        for place in &self.places {
            waiting.push(names(&place.join("pending"))?);
        }
        if waiting.iter().all(Vec::is_empty) {
            return Ok(());
        }
        sync_file_system(&self.places[0])?;
        for (place, names) in self.places.iter().zip(&waiting) {
            for name in names {
                settle(place, name, trash)?;
            }
            if !names.is_empty() {
                sync_directory(place)?;
            }
        }
        Ok(())
    }
}

/// Two pulls may have made the same thing; the second copy is not needed.
fn settle(place: &Path, name: &str, trash: &Trash) -> Result<()> {
    let (from, to) = (place.join("pending").join(name), place.join(name));
    match rustix::fs::renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::EXIST) => trash.take(&from).map(|_| ()),
        // Some file systems do not know the flag.
        Err(Errno::INVAL) if to.exists() => trash.take(&from).map(|_| ()),
        Err(Errno::INVAL) => {
            fs::rename(&from, &to).map_err(|source| Error::io("rename", &from, source))
        }
        Err(errno) => Err(Error::io("rename", &from, errno)),
    }
}

/// The names in a directory that are our own (plain text).
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let fail = |source| Error::io("read", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn sync_file_system(path: &Path) -> Result<()> {
    let directory = File::open(path).map_err(|source| Error::io("open", path, source))?;
    rustix::fs::syncfs(&directory).map_err(|errno| Error::io("sync", path, errno))
}

pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| Error::io("sync", path, source))
}

/// Whether a directory has no entries.
pub(crate) fn is_empty(directory: &Path) -> Result<bool> {
    let mut entries =
        fs::read_dir(directory).map_err(|source| Error::io("read", directory, source))?;
    Ok(entries.next().is_none())
}
