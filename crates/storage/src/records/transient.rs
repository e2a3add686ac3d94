//! Records that end with the boot: small files, renamed into place, never synced.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stdx::fs::{Durability, write_atomic};

use super::{Table, decode, encode};
use crate::{Error, Result, pending};

/// Run-time records and those of containers that are removed when they end; same use as
/// [`crate::Records`]. Keys are file names: letters, digits, `_`, `-` and `.`, not first.
#[derive(Debug)]
pub struct Transient {
    root: PathBuf,
}

impl Transient {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When it cannot be encoded or written; nothing is changed then.
    pub fn put<T: Serialize + ?Sized>(&self, table: Table, key: &str, value: &T) -> Result<()> {
        let path = self.path(table, key)?;
        let bytes = encode(table, key, value)?;
        let result = match write_atomic(&path, &bytes, Durability::Volatile) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(self.root.join(table.name))
                    .and_then(|()| write_atomic(&path, &bytes, Durability::Volatile))
            }
            other => other,
        };
        result.map_err(|source| Error::io("write", &path, source))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it cannot be read or decoded.
    pub fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>> {
        let path = self.path(table, key)?;
        match fs::read(&path) {
            Ok(bytes) => decode(table, key, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// Removes a record; says whether it was there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn delete(&self, table: Table, key: &str) -> Result<bool> {
        let path = self.path(table, key)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path, error)),
        }
    }

    /// All records of a table, sorted by key.
    ///
    /// # Errors
    /// When one cannot be read or decoded.
    pub fn list<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>> {
        let mut list = Vec::new();
        for key in pending::names(&self.root.join(table.name))? {
            // A name with a dot in front is a file being written.
            if !key.starts_with('.')
                && let Some(value) = self.get(table, &key)?
            {
                list.push((key, value));
            }
        }
        Ok(list)
    }

    fn path(&self, table: Table, key: &str) -> Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if key.is_empty() || key.len() > 200 || key.starts_with('.') || !key.bytes().all(plain) {
            let rule = "want up to 200 letters, digits, `_`, `.` or `-`, not starting with `.`";
            let name = key.chars().take(80).collect();
            return Err(Error::InvalidName { noun: "record", name, rule });
        }
        Ok(self.root.join(table.name).join(key))
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Transient};

    #[test]
    fn records_are_files() {
        let directory = tempfile::tempdir().unwrap();
        let records = Transient::new(directory.path().join("records"));
        assert_eq!(records.list::<u32>(Table::CONTAINERS).unwrap(), []);
        assert_eq!(records.get::<u32>(Table::CONTAINERS, "a").unwrap(), None);
        records.put(Table::CONTAINERS, "b", &2).unwrap();
        records.put(Table::CONTAINERS, "a", &1).unwrap();
        let list = records.list::<u32>(Table::CONTAINERS).unwrap();
        assert_eq!(list, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert!(records.delete(Table::CONTAINERS, "a").unwrap());
        assert!(!records.delete(Table::CONTAINERS, "a").unwrap());
        for key in ["", "..", "a/b", ".x"] {
            assert!(records.put(Table::CONTAINERS, key, &1).is_err());
        }
    }
}
