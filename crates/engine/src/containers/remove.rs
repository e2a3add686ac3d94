//! Removing a container. What takes long (deleting files) happens in the background.

use std::sync::Arc;

use super::entry::Container;
use super::{Containers, Shared, restart, stop};
use crate::container::machine::{self, Refusal, Step};
use crate::container::record::Record;
use crate::container::{RemoveOptions, Status};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms::{self, Rooms};

impl Containers {
    /// Removes it.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` is not given.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        let container = self.shared.table.find(name)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            if container.watch().borrow().removed {
                return Err(Error::NoSuchContainer(container.id.clone()));
            }
            if options.force {
                end_it(&shared, &container).await?;
            }
            remove(&shared, &container, options.volumes).await
        })
        .await
    }
}

async fn end_it(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    restart::cancel(shared, container).await?;
    stop::mark(shared, container).await?;
    stop::kill(shared, container).await
}

/// Removes a container that ended, unless somebody did already.
pub(super) fn remove_later(shared: &Arc<Shared>, container: &Arc<Container>) {
    let (shared_too, container) = (Arc::clone(shared), Arc::clone(container));
    shared.spawn(async move {
        let _turn = container.operation.lock().await;
        let gone = container.watch().borrow().removed;
        if gone || container.status().is_alive() {
            return;
        }
        if let Err(error) = remove(&shared_too, &container, true).await {
            tracing::error!(container = container.id, error = %stdx::chain(&error), "removal");
        }
    });
}

/// Removes a container whose turn the caller holds, with its anonymous volumes if `volumes`.
///
/// # Errors
/// `Conflict` when it runs.
pub(super) async fn remove(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    volumes: bool,
) -> Result<()> {
    let next = container.read(|state| machine::next(state.status, Step::Remove));
    let status = next.map_err(|refusal| refuse(container, refusal))?;
    let record = container.change(|state| {
        state.status = status;
        state.waiting_clients.clear();
        state.record.clone()
    });
    let done = throw_away(shared, container, record, volumes).await;
    let image_is_gone = done.inspect_err(|_| {
        container.change(|state| {
            state.status = machine::next(state.status, Step::RemoveFailed).unwrap_or(Status::Dead);
        });
    })?;
    shared.table.remove(container);
    shared.execs.forget(&container.id);
    shared.publish(container, Action::Destroy, &[]);
    container.gone();
    if image_is_gone {
        shared.collect_garbage();
    } else {
        shared.empty_trash();
    }
    Ok(())
}

/// Forgets it and puts its files away, with those of its anonymous volumes that nobody else uses;
/// whether its image is gone already.
async fn throw_away(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    record: Record,
    volumes: bool,
) -> Result<bool> {
    let candidates = record.mounts.iter().filter(|mount| volumes && mount.anonymous);
    let mut unused: Vec<String> = candidates.map(|mount| mount.point.name.clone()).collect();
    // Nobody comes to use one between the look and the deed.
    let _alone = if unused.is_empty() { None } else { Some(shared.lending.write().await) };
    unused.retain(|volume| !is_used(shared, container, volume));
    let container = Arc::clone(container);
    let work = move |rooms: &Arc<Rooms>| {
        container.forget(rooms)?;
        discard(rooms, &record.id, &unused);
        Ok(rooms.store.images().get(&record.image_id).is_ok_and(|image| image.is_none()))
    };
    shared.rooms.blocking("remove the container", work).await
}

/// Whether another container has this volume.
fn is_used(shared: &Shared, container: &Container, volume: &str) -> bool {
    let uses = |other: &Arc<Container>| {
        other.id != container.id && other.read(|state| state.record.has_volume(volume))
    };
    shared.table.all().iter().any(uses)
}

fn refuse(container: &Container, refusal: Refusal) -> Error {
    let state = match refusal {
        Refusal::Removing => {
            return Error::Conflict(format!(
                "removal of container {} is already in progress",
                container.name()
            ));
        }
        Refusal::Paused => {
            "paused: unpause and then stop the container before removing or force remove"
        }
        _ if container.status() == Status::Restarting => {
            "restarting: stop the container before removing or force remove"
        }
        _ => "running: stop the container before removing or force remove",
    };
    Error::Conflict(format!(
        "cannot remove container \"/{}\": container is {state}",
        container.name()
    ))
}

/// Puts everything of a forgotten container on disk into the trash. What fails, or is not reached
/// because of a crash, is found by the next start: it belongs to nobody.
fn discard(rooms: &Rooms, id: &str, volumes: &[String]) {
    let store = &rooms.store;
    let volumes = volumes.iter().map(|volume| store.volumes().remove(volume));
    let files =
        [store.snapshots().remove(id), store.discard(&store.layout().container_dir(id)).map(drop)];
    for result in files.into_iter().chain(volumes) {
        if let Err(error) = result {
            tracing::warn!(container = id, error = %stdx::chain(&error), "left for the next start");
        }
    }
    drop(std::fs::remove_dir_all(store.layout().container_run_dir(id)));
}

impl Shared {
    /// Removes layers and blobs that nobody needs, on the side, and then what was thrown away.
    pub(super) fn collect_garbage(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        self.spawn(async move {
            if let Err(error) = shared.rooms.images.collect_garbage().await {
                tracing::warn!(error = %stdx::chain(&error), "garbage");
            }
            shared.empty_trash();
        });
    }

    /// Deletes what was thrown away, on the side; one sweep at a time.
    pub(super) fn empty_trash(self: &Arc<Self>) {
        use std::sync::atomic::Ordering;
        // Who counts it up from zero sweeps, and looks again when others counted it further.
        if self.rooms.sweeping.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let shared = Arc::clone(self);
        self.spawn(async move {
            loop {
                let before = shared.rooms.sweeping.load(Ordering::Acquire);
                let swept = shared.rooms.blocking("empty the trash", |rooms| {
                    rooms
                        .store
                        .empty_trash()
                        .map_err(|error| rooms::storage("empty", "the trash", error))
                });
                if let Err(error) = swept.await {
                    tracing::warn!(error = %stdx::chain(&error), "trash");
                }
                let sweeping = &shared.rooms.sweeping;
                if sweeping.compare_exchange(before, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
                {
                    return;
                }
            }
        });
    }
}
