//! Records: small JSON documents by table and key. [`Records`] are durable, [`Transient`] ones end
//! with the boot.

mod schema;
mod transient;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use transient::Transient;

use crate::{Error, Result};

/// A table of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table {
    name: &'static str,
}

impl Table {
    /// Containers, by id.
    pub const CONTAINERS: Self = Self { name: "containers" };
    /// Networks, by id.
    pub const NETWORKS: Self = Self { name: "networks" };
    /// Volumes, by name. Written by [`crate::Volumes`] only.
    pub const VOLUMES: Self = Self { name: "volumes" };
    /// Images, by id. Written by [`crate::Images`] only.
    pub const IMAGES: Self = Self { name: "images" };
    /// Image names. Written by [`crate::Images`] only.
    pub const IMAGE_NAMES: Self = Self { name: "image_names" };
    /// Settings of the instance, by name.
    pub const SETTINGS: Self = Self { name: "settings" };

    /// The table's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name)
    }
}

/// One change.
#[derive(Debug, Clone)]
struct Change {
    table: Table,
    key: String,
    /// `None` removes.
    value: Option<Vec<u8>>,
}

/// Changes that wait for a transaction, and what became of them.
#[derive(Debug)]
struct Waiting {
    changes: Vec<Change>,
    outcome: OnceLock<Result<Vec<bool>, Arc<redb::Error>>>,
}

/// Durable records: whatever a call has returned for survives a power cut. Writers that come at the
/// same time share one transaction and thereby one sync.
pub struct Records {
    database: Database,
    queue: Mutex<Vec<Arc<Waiting>>>,
    turn: Mutex<()>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Records")
    }
}

/// Bytes of the database kept in memory: the whole of it is small.
const CACHE: usize = 2 << 20;

impl Records {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let create = || {
            redb::Builder::new()
                .set_cache_size(CACHE)
                .create(path)
                .map_err(|error| Error::records("open", error))
        };
        let database = schema::migrated(create, path)?;
        Ok(Self { database, queue: Mutex::default(), turn: Mutex::default() })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When it cannot be encoded or written; nothing is changed then.
    pub fn put<T: Serialize + ?Sized>(&self, table: Table, key: &str, value: &T) -> Result<()> {
        self.batch().put(table, key, value)?.commit()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it cannot be read or decoded.
    pub fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>> {
        let fail = |error: redb::Error| Error::records("read", error);
        let transaction = self.database.begin_read().map_err(|error| fail(error.into()))?;
        let records = match transaction.open_table(table.definition()) {
            Ok(records) => records,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(fail(error.into())),
        };
        let value = records.get(key).map_err(|error| fail(error.into()))?;
        value.map(|value| decode(table, key, value.value())).transpose()
    }

    /// Removes a record; says whether it was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn delete(&self, table: Table, key: &str) -> Result<bool> {
        let found = self.batch().delete(table, key).write()?;
        Ok(found.first().copied().unwrap_or_default())
    }

    /// All records of a table, sorted by key.
    ///
    /// # Errors
    /// When one cannot be read or decoded.
    pub fn list<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>> {
        let fail = |error: redb::Error| Error::records("read", error);
        let transaction = self.database.begin_read().map_err(|error| fail(error.into()))?;
        let records = match transaction.open_table(table.definition()) {
            Ok(records) => records,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(fail(error.into())),
        };
        let mut list = Vec::new();
        for entry in records.iter().map_err(|error| fail(error.into()))? {
            let (key, value) = entry.map_err(|error| fail(error.into()))?;
            list.push((key.value().to_owned(), decode(table, key.value(), value.value())?));
        }
        Ok(list)
    }

    /// Starts a set of changes that happen together or not at all.
    pub const fn batch(&self) -> Batch<'_> {
        Batch { records: self, changes: Vec::new() }
    }

    /// Whoever gets the turn writes for everybody who waits.
    fn write(&self, changes: Vec<Change>) -> Result<Vec<bool>> {
        let mine = Arc::new(Waiting { changes, outcome: OnceLock::new() });
        lock(&self.queue).push(Arc::clone(&mine));
        let turn = lock(&self.turn);
        if mine.outcome.get().is_none() {
            self.write_all(&std::mem::take(&mut *lock(&self.queue)));
        }
        drop(turn);
        match mine.outcome.get() {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(error)) => Err(Error::records_shared("write", error)),
            None => Ok(Vec::new()),
        }
    }

    fn write_all(&self, everybody: &[Arc<Waiting>]) {
        let result = self.transact(everybody).map_err(Arc::new);
        for (position, waiting) in everybody.iter().enumerate() {
            let outcome = match &result {
                Ok(found) => Ok(found.get(position).cloned().unwrap_or_default()),
                Err(error) => Err(Arc::clone(error)),
            };
            // It is set once, by the one who has the turn.
            drop(waiting.outcome.set(outcome));
        }
    }

    /// For each change whether there was a record before it.
    fn transact(&self, everybody: &[Arc<Waiting>]) -> Result<Vec<Vec<bool>>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut found = Vec::with_capacity(everybody.len());
        for waiting in everybody {
            let mut before = Vec::with_capacity(waiting.changes.len());
            for change in &waiting.changes {
                let mut table = transaction.open_table(change.table.definition())?;
                let key = change.key.as_str();
                let previous = match &change.value {
                    Some(value) => table.insert(key, value.as_slice())?.is_some(),
                    None => table.remove(key)?.is_some(),
                };
                before.push(previous);
            }
            found.push(before);
        }
        transaction.commit()?;
        Ok(found)
    }
}

/// Changes that happen together or not at all.
#[derive(Debug)]
#[must_use = "changes are made by `commit`"]
pub struct Batch<'a> {
    records: &'a Records,
    changes: Vec<Change>,
}

impl Batch<'_> {
    /// Adds a record to be written.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put<T: Serialize + ?Sized>(
        mut self,
        table: Table,
        key: &str,
        value: &T,
    ) -> Result<Self> {
        let value = Some(encode(table, key, value)?);
        self.changes.push(Change { table, key: key.to_owned(), value });
        Ok(self)
    }

    /// Adds a record to be removed.
    pub fn delete(mut self, table: Table, key: &str) -> Self {
        self.changes.push(Change { table, key: key.to_owned(), value: None });
        self
    }

    /// Makes the changes, durably.
    ///
    /// # Errors
    /// When they cannot be written; nothing is changed then.
    pub fn commit(self) -> Result<()> {
        self.write().map(|_| ())
    }

    fn write(self) -> Result<Vec<bool>> {
        if self.changes.is_empty() { Ok(Vec::new()) } else { self.records.write(self.changes) }
    }
}

fn encode<T: Serialize + ?Sized>(table: Table, key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| record_error("encode", table, key, source))
}

fn decode<T: DeserializeOwned>(table: Table, key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|source| record_error("decode", table, key, source))
}

fn record_error(
    operation: &'static str,
    table: Table,
    key: &str,
    source: serde_json::Error,
) -> Error {
    Error::Record { operation, table: table.name, key: key.to_owned(), source }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Records, Table};

    #[test]
    fn records_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.redb");
        let records = Records::open(&path).unwrap();
        assert_eq!(records.get::<String>(Table::CONTAINERS, "a").unwrap(), None);
        assert!(!records.delete(Table::CONTAINERS, "a").unwrap());
        records.put(Table::CONTAINERS, "a", "one").unwrap();
        records.put(Table::CONTAINERS, "a", "two").unwrap();
        let batch = records.batch().put(Table::CONTAINERS, "b", "three").unwrap();
        batch.delete(Table::NETWORKS, "x").commit().unwrap();
        drop(records);
        let records = Records::open(&path).unwrap();
        let list: Vec<(String, String)> = records.list(Table::CONTAINERS).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(list, [pair("a", "two"), pair("b", "three")]);
        assert!(records.delete(Table::CONTAINERS, "a").unwrap());
        assert!(records.get::<u32>(Table::CONTAINERS, "b").is_err());
    }

    #[test]
    fn many_writers_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(&directory.path().join("records.redb")).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let records = &records;
                scope.spawn(move || {
                    for round in 0..10 {
                        let key = format!("{writer}-{round}");
                        records.put(Table::CONTAINERS, &key, &round).unwrap();
                        assert_eq!(records.get(Table::CONTAINERS, &key).unwrap(), Some(round));
                    }
                });
            }
        });
        assert_eq!(records.list::<u32>(Table::CONTAINERS).unwrap().len(), 80);
    }
}
