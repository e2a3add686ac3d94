//! The number of the form in which records are written, and the way from older forms.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::{Error, Result};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const KEY: &str = "schema";

/// A step from one schema to the next.
type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// `MIGRATIONS[n]` leads from schema `n + 1` to `n + 2`.
const MIGRATIONS: &[Migration] = &[];

/// The schema this version writes.
const fn newest(migrations: &[Migration]) -> u64 {
    migrations.len() as u64 + 1
}

/// Opens the database and brings it to the newest schema; an older file is copied first.
pub(super) fn migrated(open: impl Fn() -> Result<Database>, path: &Path) -> Result<Database> {
    migrate(open, path, MIGRATIONS)
}

fn migrate(
    open: impl Fn() -> Result<Database>,
    path: &Path,
    migrations: &[Migration],
) -> Result<Database> {
    let known = newest(migrations);
    let mut database = open()?;
    let found = match read(&database).map_err(|error| Error::records("read", error))? {
        Some(found) if found == known => return Ok(database),
        Some(found) if found > known || found == 0 => {
            return Err(Error::NewerSchema { found, known });
        }
        Some(found) => {
            // Closed for the copy, so that it is one that needs no repair.
            drop(database);
            copy(path, found)?;
            database = open()?;
            found
        }
        None => known,
    };
    let steps = migrations.iter().skip(usize::try_from(found - 1).unwrap_or(usize::MAX));
    step(&database, steps, known).map_err(|error| Error::records("migrate", error))?;
    Ok(database)
}

fn step<'a>(
    database: &Database,
    migrations: impl Iterator<Item = &'a Migration>,
    known: u64,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for migration in migrations {
        migration(&transaction)?;
    }
    transaction.open_table(META)?.insert(KEY, known)?;
    transaction.commit()?;
    Ok(())
}

fn read(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(META) {
        Ok(table) => Ok(table.get(KEY)?.map(|schema| schema.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `records.redb.schema-N`, durable before anything is changed.
fn copy(path: &Path, schema: u64) -> Result<()> {
    let mut name = OsString::from(path);
    name.push(format!(".schema-{schema}"));
    let to = PathBuf::from(name);
    fs::copy(path, &to)
        .and_then(|_| File::open(&to)?.sync_all())
        .and_then(|()| stdx::fs::sync_parent(&to))
        .map_err(|source| Error::io("copy records to", &to, source))
}

#[cfg(test)]
mod tests {
    use super::{META, Migration, migrate};
    use crate::Error;
    use redb::{Database, ReadableDatabase, TableDefinition};

    const TEXT: TableDefinition<'_, &str, &str> = TableDefinition::new("text");

    #[test]
    fn older_records_are_copied_and_migrated_newer_ones_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.redb");
        let open = || Database::create(&path).map_err(|error| Error::records("open", error));
        drop(migrate(open, &path, &[]).unwrap());
        let add: Migration = |transaction| {
            transaction.open_table(TEXT)?.insert("a", "b")?;
            Ok(())
        };
        let database = migrate(open, &path, &[add]).unwrap();
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(TEXT).unwrap();
        assert_eq!(table.get("a").unwrap().unwrap().value(), "b");
        assert_eq!(
            transaction.open_table(META).unwrap().get("schema").unwrap().unwrap().value(),
            2
        );
        drop((table, transaction, database));
        assert!(directory.path().join("records.redb.schema-1").exists());
        let error = migrate(open, &path, &[]).unwrap_err();
        assert!(matches!(error, Error::NewerSchema { found: 2, known: 1 }));
        assert!(error.hint().is_some());
    }
}
