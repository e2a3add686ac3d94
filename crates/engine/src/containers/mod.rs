//! The containers of an engine and what can be done with them: one file per verb.
//!
//! Everywhere `name` is an id, a name (with or without slash) or a unique prefix of an id. A verb
//! that changes something runs to its end even when its caller goes away in the middle.

mod archive;
mod attach;
mod connection;
mod create;
mod end;
mod entry;
mod exec;
mod inspect;
mod kill;
mod list;
mod logs;
mod pause;
mod planning;
mod prepare;
mod recovery;
mod remove;
mod rename;
mod restart;
mod start;
mod stats;
mod stop;
mod table;
mod top;
mod wait;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::container::{MountKind, MountPoint};
use crate::error::{Error, Result};
use crate::event::{Action, Subject};
use crate::networks::network_id;
use crate::rooms::Rooms;
use crate::system::ContainerCounts;

use entry::{Container, State};
use exec::Execs;
use table::Table;

pub use archive::{CopyOptions, PathStat};
pub use logs::LogStream;
pub(crate) use prepare::machine;
pub use stats::StatsStream;
pub use wait::Waiter;

/// The containers of an engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Containers {
    shared: Arc<Shared>,
}

/// What all verbs share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) rooms: Arc<Rooms>,
    table: Table,
    execs: Execs,
    /// Held together by those who make a container, alone by who looks which volumes are unused.
    lending: RwLock<()>,
    /// Cancelled when all containers are stopped for good: none is started any more, not by its
    /// policy either.
    closing: CancellationToken,
}

impl Containers {
    pub(crate) fn new(rooms: Arc<Rooms>) -> Self {
        let shared = Shared {
            rooms,
            table: Table::default(),
            execs: Execs::default(),
            lending: RwLock::default(),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The id of the container of this id, name or unique prefix.
    ///
    /// # Errors
    /// `NoSuchContainer`, `AmbiguousPrefix`.
    pub fn resolve(&self, name: &str) -> Result<String> {
        Ok(self.shared.table.find(name)?.id.clone())
    }

    /// The current name of the container of this id.
    #[must_use]
    pub fn name_of(&self, id: &str) -> Option<String> {
        self.shared.table.find(id).ok().map(|container| container.name())
    }

    /// How many there are, by state.
    #[must_use]
    pub fn counts(&self) -> ContainerCounts {
        let mut counts = ContainerCounts::default();
        for container in self.shared.table.all() {
            counts.all += 1;
            match container.status() {
                crate::Status::Running => counts.running += 1,
                crate::Status::Paused => counts.paused += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    /// Runs a verb as a task of the engine's own.
    async fn run<T, F>(&self, verb: impl FnOnce(Arc<Shared>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if self.shared.rooms.cancel.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let task = self.shared.rooms.tracker.spawn(verb(Arc::clone(&self.shared)));
        task.await.map_err(|error| {
            Error::failed("finish", "a request", stdx::ErrorKind::Internal, error)
        })?
    }

    /// Does `remove` unless a container has the volume of this name; none comes to have it
    /// meanwhile.
    pub(crate) async fn unless_used(
        &self,
        volume: &str,
        remove: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let _alone = self.shared.lending.write().await;
        let has = |one: &Arc<Container>| one.read(|state| state.record.has_volume(volume));
        let users: Vec<String> = self
            .shared
            .table
            .all()
            .iter()
            .filter(|one| has(one))
            .map(|one| one.id.clone())
            .collect();
        if users.is_empty() {
            return remove.await;
        }
        Err(Error::Conflict(format!("remove {volume}: volume is in use - [{}]", users.join(", "))))
    }
}

impl Shared {
    /// Publishes what happened to a container, with its name, image and labels.
    fn publish(&self, container: &Container, action: Action, more: &[(&str, String)]) {
        let mut attributes = container.read(|state| {
            let mut attributes = state.record.spec.labels.clone();
            attributes.insert("name".to_owned(), state.record.name.clone());
            attributes.insert("image".to_owned(), state.record.spec.image.clone());
            attributes
        });
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.rooms.events.publish(Subject::Container, action, &container.id, attributes);
    }

    /// Publishes that a container came to or left a network.
    fn publish_network(&self, container: &Container, network: &str, action: Action) {
        let attributes = BTreeMap::from([
            ("container".to_owned(), container.id.clone()),
            ("name".to_owned(), network.to_owned()),
            ("type".to_owned(), if network == "host" { "host" } else { "bridge" }.to_owned()),
        ]);
        let id = network_id(self.rooms.store.instance().as_str(), network);
        self.rooms.events.publish(Subject::Network, action, &id, attributes);
    }

    /// Publishes that the volumes of a container were mounted or are mounted no more.
    fn publish_volumes(&self, container: &Container, action: &Action) {
        for point in container.read(volumes) {
            let attributes = BTreeMap::from([
                ("container".to_owned(), container.id.clone()),
                ("destination".to_owned(), point.target),
                ("driver".to_owned(), point.driver),
                ("read/write".to_owned(), point.writable.to_string()),
            ]);
            self.rooms.events.publish(Subject::Volume, action.clone(), &point.name, attributes);
        }
    }

    /// Runs something that nobody waits for, as a task of the engine.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.rooms.tracker.spawn(task));
    }
}

fn volumes(state: &State) -> Vec<MountPoint> {
    let points = state.record.mounts.iter().map(|mount| &mount.point);
    points.filter(|point| point.kind == MountKind::Volume).cloned().collect()
}

/// `container ID is not running`, as 409.
fn not_running(container: &Container) -> Error {
    Error::Conflict(format!("container {} is not running", container.id))
}
