//! Finding everything again: records, what runs, and what a crash left.
//!
//! ```text
//! record     run/ says     monitor     →
//! durable    alive         answers     adopted
//! durable    alive         gone        ended as `exit.json` says, or killed and said so
//! durable    nothing       –           not running; started if its policy wants that
//! run/ only  alive         answers     adopted
//! run/ only  anything      gone        removed
//! ```
//! A reboot clears `run/`: nothing is alive then.

use std::collections::{BTreeMap, HashSet};
use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use monitor::client;
use network::EndpointRecord;
use storage::Table as Records;

use super::entry::Container;
use super::{Containers, Shared, connection, end, remove, restart, stop};
use crate::container::Status;
use crate::container::record::{LiveRecord, Record, RunTime};
use crate::container::restart::Ended;
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms::{self, Rooms};

/// Why a container was ended that no monitor answers for.
const UNSEEN_END: &str = "its monitor was killed while no daemon ran: the container was ended";
/// How long others wait for containers to be started by their policy.
const PATIENCE: Duration = Duration::from_secs(5);

/// Containers, each with what lived of it.
type Found = Vec<(Record, Option<LiveRecord>)>;

impl Containers {
    /// Finds all containers again. To be called once, before anything else.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub(crate) async fn recover(&self) -> Result<()> {
        let shared = &self.shared;
        let found = shared.rooms.blocking("find containers", find).await?;
        let mut live = Vec::new();
        for (record, left) in found {
            let status = if record.was_started { Status::Exited } else { Status::Created };
            let container = Arc::new(Container::new(record, status));
            let name = container.name();
            if shared.table.reserve(&name, &container.id).is_err() {
                tracing::error!(container = container.id, name, "two containers have one name");
                continue;
            }
            shared.table.insert(&container);
            if let Some(left) = left {
                container.change(|state| {
                    state.endpoint_before = left.endpoint;
                    state.paused_before = left.paused;
                    state.ending_by_hand = left.ending_by_hand;
                });
                live.push(container);
            }
        }
        // Endpoints of containers whose monitor is gone are taken back with the rest.
        let (alive, gone) = probe(shared, live).await?;
        restore_networks(shared, &alive).await?;
        for container in alive {
            if let Err(error) = connection::adopt(shared, &container).await {
                let cause = stdx::chain(&error);
                tracing::warn!(container = container.id, cause, "cannot adopt");
                lost(shared, &container).await;
            }
        }
        for container in gone {
            lost(shared, &container).await;
        }
        let keep: HashSet<String> = shared.table.all().iter().map(|c| c.id.clone()).collect();
        shared
            .rooms
            .blocking("clear leftovers", move |rooms| {
                clear(rooms, &keep);
                Ok(())
            })
            .await?;
        shared.collect_garbage();
        Ok(())
    }

    /// Starts those that their policy wants running, and waits for them for a while, so that
    /// whoever asks first sees them run.
    pub(crate) async fn apply_policies(&self) {
        let mut starts = Vec::new();
        for container in self.shared.table.all() {
            let wanted = container.read(|state| {
                let record = &state.record;
                let policy = record.spec.host.restart;
                !state.status.is_alive()
                    && record.was_started
                    && policy.starts_with_daemon(record.running, record.ended_by_hand)
            });
            if !wanted {
                container.change(|state| {
                    if !state.status.is_alive() && state.status != Status::Restarting {
                        state.record.running = false;
                    }
                });
                continue;
            }
            let shared = Arc::clone(&self.shared);
            starts.push(self.shared.rooms.tracker.spawn(async move {
                let _turn = container.operation.lock().await;
                if container.status().is_alive() {
                    return;
                }
                restart::by_policy(&shared, &container).await;
            }));
        }
        let all = futures_util::future::join_all(starts);
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!("containers are still being started");
        }
    }

    /// Listens to the launcher until the engine closes.
    ///
    /// # Errors
    /// When its socket cannot be watched.
    pub(crate) fn listen(&self) -> Result<()> {
        let launcher = self.shared.rooms.launchers.now();
        let socket = launcher
            .notices()
            .map_err(|error| rooms::monitor("listen to", "the launcher", error))?;
        let frames = connection::Frames::new(socket)?;
        self.shared.spawn(connection::notices(Arc::clone(&self.shared), launcher, frames));
        Ok(())
    }

    /// Stops all that run, at the same time; from now on none is started. Nobody asked for the end
    /// of any one of them: the next daemon starts those whose policy wants it.
    pub(crate) async fn stop_all(&self) {
        self.shared.closing.cancel();
        let all = self.shared.table.all();
        let stops = all.iter().map(|container| async move {
            let _turn = container.operation.lock().await;
            if let Err(error) = stop_for_good(&self.shared, container).await {
                tracing::warn!(container = container.id, error = %stdx::chain(&error), "stop");
            }
        });
        futures_util::future::join_all(stops).await;
    }
}

/// Stops a container whose turn the caller holds, if it runs, and removes it if that comes next.
async fn stop_for_good(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    if container.live().is_none() {
        return Ok(());
    }
    stop::end_it(shared, container, stop::Request::default()).await?;
    shared.publish(container, Action::Stop, &[]);
    if container.read(|state| state.record.spec.host.auto_remove) {
        remove::remove(shared, container, true).await?;
    }
    Ok(())
}

fn find(rooms: &Arc<Rooms>) -> Result<Found> {
    let store = &rooms.store;
    let durable: Vec<(String, Record)> = store
        .records()
        .list(Records::CONTAINERS)
        .map_err(|error| rooms::storage("read", "the containers", error))?;
    let mut transient: BTreeMap<String, RunTime> = store
        .transient()
        .list(Records::CONTAINERS)
        .map_err(|error| rooms::storage("read", "the run-time state of containers", error))?
        .into_iter()
        .collect();
    let mut found = Found::new();
    for (id, record) in durable {
        if let Err(error) = make_files_again(rooms, &record) {
            // It is listed and can be removed; its start tells why it fails.
            tracing::error!(container = id, error = %stdx::chain(&error), "its files are gone");
        }
        let live = transient.remove(&id).and_then(|run_time| run_time.live);
        found.push((record, live));
    }
    for run_time in transient.into_values() {
        if let Some(record) = run_time.record {
            found.push((record, run_time.live));
        }
    }
    Ok(found)
}

/// Directories of a container are made without syncing: when a power cut took them, they are made
/// again from its image.
fn make_files_again(rooms: &Rooms, record: &Record) -> Result<()> {
    let (store, id) = (&rooms.store, record.id.as_str());
    if store.snapshots().root_mount(id).is_ok() {
        return Ok(());
    }
    let failed = |error| rooms::storage("make again the files of", id, error);
    let image = store.images().get(&record.image_id).map_err(failed)?;
    let image = image.ok_or_else(|| Error::NoSuchImage(record.image_id.to_string()))?;
    let diff_ids = image.diff_ids();
    store.snapshots().prepare_container(id, &diff_ids, false).map_err(failed)?;
    tracing::warn!(container = id, "its files were lost and have been made again");
    Ok(())
}

/// Which of them have a monitor that answers.
async fn probe(
    shared: &Arc<Shared>,
    containers: Vec<Arc<Container>>,
) -> Result<(Vec<Arc<Container>>, Vec<Arc<Container>>)> {
    let probed = shared.rooms.blocking("look for monitors", move |rooms| {
        let (mut alive, mut silent) = (Vec::new(), Vec::new());
        for container in containers {
            let found = answers(rooms, &container)?;
            if found { &mut alive } else { &mut silent }.push(container);
        }
        if silent.is_empty() {
            return Ok((alive, silent));
        }
        // The launcher may be about to replace a monitor that has just died: once it answers us it
        // has done so.
        drop(rooms.launchers.now().retrieve(""));
        let mut gone = Vec::new();
        for container in silent {
            let found = answers(rooms, &container)?;
            if found { &mut alive } else { &mut gone }.push(container);
        }
        Ok((alive, gone))
    });
    probed.await
}

/// Whether a monitor listens. What keeps us from finding out is an error: nothing may be cut off or
/// ended on a mere suspicion.
fn answers(rooms: &Rooms, container: &Container) -> Result<bool> {
    let directory = rooms.store.layout().container_run_dir(&container.id);
    match client::Control::connect(&directory) {
        Ok(_) => Ok(true),
        Err(error) if error.nobody_listens() => Ok(false),
        Err(error) => Err(rooms::monitor("look for the monitor of", &container.id, error)),
    }
}

async fn restore_networks(shared: &Arc<Shared>, alive: &[Arc<Container>]) -> Result<()> {
    let endpoints: Vec<EndpointRecord> =
        alive.iter().filter_map(|c| c.read(|s| s.endpoint_before.clone())).collect();
    shared
        .rooms
        .blocking("restore networks", move |rooms| {
            rooms
                .networks
                .restore(&endpoints)
                .map_err(|error| rooms::network("restore", "the networks", error))?;
            // Containers still run where somebody's firewall cannot be entered: it is told, here
            // and by `system check`.
            if let Err(error) = rooms.networks.enter_foreign_firewalls() {
                tracing::warn!(error = %stdx::chain(&error), "other firewalls");
            }
            Ok(())
        })
        .await
}

/// A container that was alive and whose monitor is gone.
async fn lost(shared: &Arc<Shared>, container: &Arc<Container>) {
    let id = container.id.clone();
    let path = end::cgroup_path(&shared.rooms, container);
    let exit = shared
        .rooms
        .blocking("read the end of a container", move |rooms| {
            let directory = rooms.store.layout().container_run_dir(&id);
            let exit = client::recorded_exit(&directory).ok().flatten();
            if exit.is_none() {
                end::end_group(&path);
            }
            Ok(exit)
        })
        .await
        .ok()
        .flatten();
    let auto_remove = container.change(|state| {
        state.endpoint_before = None;
        let record = &mut state.record;
        record.was_started = true;
        state.status = Status::Exited;
        record.last.exit_code = exit.as_ref().map_or(137, |exit| exit.code);
        record.last.oom_killed = exit.as_ref().is_some_and(|exit| exit.oom_killed);
        record.last.finished_at =
            Some(exit.as_ref().map_or_else(jiff::Timestamp::now, |exit| end::timestamp(exit.at)));
        record.ended_by_hand = state.ending_by_hand;
        if exit.is_some() {
            let ended = Ended {
                exit_code: record.last.exit_code,
                by_hand: record.ended_by_hand,
                restarts: record.restarts,
            };
            record.running = record.spec.host.restart.restarts(ended);
        } else {
            UNSEEN_END.clone_into(&mut record.last.error);
        }
        record.spec.host.auto_remove
    });
    if exit.is_none() {
        tracing::error!(container = container.id, "{UNSEEN_END}");
    }
    let code = exit.as_ref().map_or(137, |exit| exit.code);
    shared.publish(container, Action::Die, &[("exitCode", code.to_string())]);
    if auto_remove {
        remove::remove_later(shared, container);
        return;
    }
    let container_too = Arc::clone(container);
    let saved = shared.rooms.blocking("record the container", move |rooms| {
        container_too.save(rooms)?;
        let id = &container_too.id;
        drop(rooms.store.transient().delete(Records::CONTAINERS, id));
        drop(std::fs::remove_dir_all(rooms.store.layout().container_run_dir(id)));
        Ok(())
    });
    if let Err(error) = saved.await {
        tracing::error!(container = container.id, error = %stdx::chain(&error), "not recorded");
    }
}

/// Throws away what belongs to no container. Goes on after errors.
fn clear(rooms: &Rooms, keep: &HashSet<String>) {
    let layout = rooms.store.layout();
    for path in strangers(&layout.containers_run_dir(), keep) {
        drop(std::fs::remove_dir_all(path));
    }
    if let Some(logs) = layout.container_dir("_").parent() {
        for path in strangers(logs, keep) {
            drop(rooms.store.discard(&path));
        }
    }
    for id in rooms.store.snapshots().list().unwrap_or_default() {
        if !keep.contains(&id) {
            drop(rooms.store.snapshots().remove(&id));
        }
    }
    clear_groups(rooms, keep);
}

/// What is in a directory under a name that is no container's.
fn strangers(directory: &Path, keep: &HashSet<String>) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let unknown = |entry: &DirEntry| !keep.contains(entry.file_name().to_string_lossy().as_ref());
    entries.flatten().filter(unknown).map(|entry| entry.path()).collect()
}

/// Ends groups of containers that are not known any more.
fn clear_groups(rooms: &Rooms, keep: &HashSet<String>) {
    let Ok(groups) = linux::cgroup::Layout::detect() else { return };
    let mut names = HashSet::new();
    for hierarchy in groups.hierarchies() {
        let parent = hierarchy.mount_point.join(rooms.cgroup_parent.trim_start_matches('/'));
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    for name in names {
        let is_container = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_container && !keep.contains(&name) {
            end::end_group(&format!("{}/{name}", rooms.cgroup_parent));
        }
    }
}
