//! Files that are either wholly there or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether a write must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// File and directory are synced before the call returns.
    Durable,
    /// Atomic for readers and for a killed process, but not synced.
    Volatile,
}

/// Writes to a temporary name beside `path` and renames it over `path`; mode 0600.
///
/// # Errors
/// Any error of creating, writing, syncing or renaming; the temporary file is then removed.
pub fn write_atomic(path: &Path, contents: &[u8], durability: Durability) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    let result = write_and_rename(&temporary, path, contents, durability);
    if result.is_err() {
        drop(fs::remove_file(&temporary));
    }
    result
}

fn write_and_rename(
    temporary: &Path,
    path: &Path,
    contents: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(contents)?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    fs::rename(temporary, path)?;
    if durability == Durability::Durable { sync_parent(path) } else { Ok(()) }
}

/// Syncs the directory that holds `path`, so that a rename or a creation in it is durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent_of(path))?.sync_all()
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", crate::hex::encode(&crate::random::bytes::<4>())));
    Ok(parent_of(path).join(temporary))
}

#[cfg(test)]
mod tests {
    use super::{Durability, write_atomic};

    #[test]
    fn replaces_and_leaves_no_temporary() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        write_atomic(&path, b"one", Durability::Volatile).unwrap();
        write_atomic(&path, b"two", Durability::Durable).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn failure_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        std::fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"one", Durability::Volatile).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
