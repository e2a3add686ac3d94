//! What happens when a container's process has ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use linux::cgroup::{Group, Layout};
use monitor::protocol::{Command, Exit};
use network::EndpointRecord;

use super::connection::unseen_exit;
use super::entry::{Container, Live};
use super::{Shared, remove, restart};
use crate::container::Status;
use crate::container::machine::{self, Step};
use crate::container::restart::Ended;
use crate::event::Action;
use crate::rooms::Rooms;

/// Nanoseconds since 1970 as a time.
pub(super) fn timestamp(nanoseconds: u64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Records the end, tells everybody in order, and does what the options want next: removal,
/// another start, or nothing.
pub(super) async fn ended(shared: &Arc<Shared>, container: &Arc<Container>, exit: &Exit) {
    let Some(live) = container.live() else { return };
    for warning in &exit.warnings {
        tracing::warn!(container = container.id, warning, "end");
    }
    let mut more = vec![("exitCode", exit.code.to_string())];
    let ran = live.since.elapsed();
    more.push(("execDuration", ran.as_secs().to_string()));
    if let Some(signal) = exit.signal {
        more.push(("signal", signal.to_string()));
    }
    shared.publish(container, Action::Die, &more);
    leave_network(shared, container, live.endpoint.as_ref()).await;
    shared.publish_volumes(container, &Action::Unmount);
    shared.execs.container_ended(&container.id);
    let next = settle(container, exit, ran, shared.closing.is_cancelled());
    finish(shared, container, live, &next);
    match next {
        Next::Nothing => {}
        Next::Remove => remove::remove_later(shared, container),
        Next::Restart(delay) => restart::later(shared, container, delay),
    }
}

/// What comes after an end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Nothing,
    Remove,
    Restart(Duration),
}

/// `closing`: the policy has its way at the start of the next daemon, not now.
fn settle(container: &Container, exit: &Exit, ran: Duration, closing: bool) -> Next {
    container.change(|state| {
        let by_hand = state.ending_by_hand;
        let ended = Ended { exit_code: exit.code, by_hand, restarts: state.record.restarts };
        let host = &state.record.spec.host;
        let again = host.restart.restarts(ended);
        let restarts = again && !closing;
        let next = if restarts {
            Next::Restart(state.back_off.next(ran))
        } else if host.auto_remove && !state.restarting_by_hand {
            Next::Remove
        } else {
            Next::Nothing
        };
        let step = if restarts { Step::EndedAndRestarts } else { Step::Ended };
        state.status = machine::next(state.status, step).unwrap_or(Status::Exited);
        state.live = None;
        let record = &mut state.record;
        record.running = again;
        record.ended_by_hand = by_hand;
        record.last.exit_code = exit.code;
        record.last.oom_killed = exit.oom_killed;
        record.last.finished_at = Some(timestamp(exit.at));
        next
    })
}

async fn leave_network(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    endpoint: Option<&EndpointRecord>,
) {
    let Some(endpoint) = endpoint else { return };
    let gone = endpoint.clone();
    let done = shared
        .rooms
        .blocking("leave the network", move |rooms| {
            disconnect(rooms, &gone);
            Ok(())
        })
        .await;
    if let Err(error) = done {
        tracing::warn!(container = container.id, error = %stdx::chain(&error), "network");
    }
    shared.publish_network(container, &endpoint.network, Action::Disconnect);
}

/// Disconnects an endpoint; what fails is logged, the rest is done.
pub(super) fn disconnect(rooms: &Rooms, endpoint: &EndpointRecord) {
    if let Err(error) = rooms.networks.disconnect(endpoint) {
        let error = stdx::chain(&error);
        tracing::warn!(container = endpoint.container, error, "cannot leave the network");
    }
}

/// Records the end where it lasts, lets the monitor go, and clears the run directory.
fn finish(shared: &Arc<Shared>, container: &Arc<Container>, live: Live, next: &Next) {
    if *next == Next::Remove {
        release(container, &live);
        return;
    }
    let (shared_too, container) = (Arc::clone(shared), Arc::clone(container));
    shared.spawn(async move {
        let shared = shared_too;
        save(&shared, &container).await;
        release(&container, &live);
        let _turn = container.operation.lock().await;
        if container.live().is_some() || !matches!(container.status(), Status::Exited) {
            return;
        }
        let (id, auto_remove) =
            container.read(|state| (state.record.id.clone(), state.record.spec.host.auto_remove));
        let cleared = shared.rooms.blocking("clear run-time state", move |rooms| {
            if !auto_remove {
                drop(rooms.store.transient().delete(storage::Table::CONTAINERS, &id));
            }
            drop(std::fs::remove_dir_all(rooms.store.layout().container_run_dir(&id)));
            Ok(())
        });
        drop(cleared.await);
    });
}

fn release(container: &Container, live: &Live) {
    if let Err(error) = live.control.send(&Command::Release, None) {
        tracing::debug!(container = container.id, error = %stdx::chain(&error), "release");
    }
}

async fn save(shared: &Arc<Shared>, container: &Arc<Container>) {
    let container_too = Arc::clone(container);
    let saved =
        shared.rooms.blocking("record the container", move |rooms| container_too.save(rooms));
    if let Err(error) = saved.await {
        tracing::error!(container = container.id, error = %stdx::chain(&error), "not recorded");
    }
}

/// Records a container's state without anybody waiting for it.
pub(super) fn save_later(shared: &Arc<Shared>, container: &Arc<Container>) {
    let (shared_too, container) = (Arc::clone(shared), Arc::clone(container));
    shared.spawn(async move { save(&shared_too, &container).await });
}

/// Ends what is left of a container whose monitor is gone for good, and reports that.
pub(super) async fn kill_rest(shared: &Arc<Shared>, container: &Arc<Container>, cause: &str) {
    tracing::error!(container = container.id, cause, "ending what is left of the container");
    let path = cgroup_path(&shared.rooms, container);
    let killed = shared.rooms.blocking("end a container", move |_| {
        end_group(&path);
        Ok(())
    });
    drop(killed.await);
    let reason = format!("the container was ended: {cause}");
    container.change(|state| state.record.last.error.clone_from(&reason));
    let exit = unseen_exit(now(), reason);
    ended(shared, container, &exit).await;
}

/// Kills every process of a group and removes it; one that is not there is no error.
pub(super) fn end_group(path: &str) {
    let Ok(layout) = Layout::detect() else { return };
    let Ok(group) = Group::open(layout, path) else { return };
    for result in [group.kill(), group.delete()] {
        if let Err(error) = result {
            tracing::warn!(group = path, error = %stdx::chain(&error), "cannot end a group");
        }
    }
}

/// The control group of a container.
pub(super) fn cgroup_path(rooms: &Rooms, container: &Container) -> String {
    container.read(|state| {
        let parent = state.record.spec.host.cgroup_parent.as_deref();
        let parent = parent.filter(|parent| !parent.is_empty()).unwrap_or(&rooms.cgroup_parent);
        format!("{}/{}", parent.trim_end_matches('/'), state.record.id)
    })
}
