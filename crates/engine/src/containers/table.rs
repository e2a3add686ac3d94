//! Containers by id and by name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::entry::Container;
use crate::error::{Error, Result};

/// All containers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    inner: RwLock<Inner>,
    /// The highest number of a container.
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    containers: BTreeMap<String, Arc<Container>>,
    /// Name → id, also of containers that are being made.
    names: HashMap<String, String>,
}

impl Table {
    /// Takes a name for a container that is being made or renamed.
    ///
    /// # Errors
    /// `NameTaken`.
    pub(crate) fn reserve(&self, name: &str, id: &str) -> Result<()> {
        let mut inner = self.write();
        if let Some(holder) = inner.names.get(name) {
            return Err(Error::NameTaken { name: name.to_owned(), id: holder.clone() });
        }
        inner.names.insert(name.to_owned(), id.to_owned());
        Ok(())
    }

    /// Gives a name back, if this container holds it.
    pub(crate) fn release(&self, name: &str, id: &str) {
        let mut inner = self.write();
        if inner.names.get(name).is_some_and(|holder| holder == id) {
            inner.names.remove(name);
        }
    }

    /// The number of a container that is being made: higher than those of all before it.
    pub(crate) fn number(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a container whose name is reserved.
    pub(crate) fn insert(&self, container: &Arc<Container>) {
        self.last.fetch_max(container.read(|state| state.record.number), Ordering::Relaxed);
        self.write().containers.insert(container.id.clone(), Arc::clone(container));
    }

    /// Takes a container and its name out.
    pub(crate) fn remove(&self, container: &Container) {
        let name = container.name();
        self.write().containers.remove(&container.id);
        self.release(&name, &container.id);
    }

    /// The container of this id, name or unique prefix of an id, in this order.
    ///
    /// # Errors
    /// `NoSuchContainer`, `AmbiguousPrefix`.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Container>> {
        let inner = self.read();
        let unknown = || Error::NoSuchContainer(text.to_owned());
        if let Some(container) = inner.containers.get(text) {
            return Ok(Arc::clone(container));
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if let Some(id) = inner.names.get(name) {
            return inner.containers.get(id).cloned().ok_or_else(unknown);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        let from = (Bound::Included(text), Bound::Unbounded);
        let mut found =
            inner.containers.range::<str, _>(from).take_while(|(id, _)| id.starts_with(text));
        match (found.next(), found.next()) {
            (Some((_, container)), None) => Ok(Arc::clone(container)),
            (Some(_), Some(_)) => Err(Error::AmbiguousPrefix(text.to_owned())),
            (None, _) => Err(unknown()),
        }
    }

    /// All of them, newest first.
    pub(crate) fn newest_first(&self) -> Vec<Arc<Container>> {
        let mut all = self.all();
        all.sort_by_key(|container| Reverse(container.read(|state| state.record.number)));
        all
    }

    /// All of them, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Container>> {
        self.read().containers.values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::{Timestamp, ToSpan};

    use super::{Container, Table};
    use crate::container::record::{LastRun, Record};
    use crate::container::{ContainerSpec, Status};

    fn add(table: &Table, id: &str, number: u64, created: Timestamp) {
        let record = Record {
            id: id.to_owned(),
            name: id.to_owned(),
            created,
            number,
            image_id: oci::Digest::of(b""),
            spec: ContainerSpec::default(),
            mounts: Vec::new(),
            running: false,
            was_started: false,
            ended_by_hand: false,
            last: LastRun::default(),
            restarts: 0,
        };
        table.insert(&Arc::new(Container::new(record, Status::Created)));
    }

    #[test]
    fn the_order_is_kept_when_the_clock_jumps() {
        let table = Table::default();
        let now = Timestamp::now();
        add(&table, "b", 7, now);
        for (id, created) in [("c", now - 1.hour()), ("a", now + 1.hour()), ("d", now)] {
            add(&table, id, table.number(), created);
        }
        let ids: Vec<String> = table.newest_first().iter().map(|c| c.id.clone()).collect();
        assert_eq!(ids, ["d", "a", "c", "b"]);
    }
}
