//! Stopping a container: ask, wait, kill. The wait is for the exit itself, nothing is polled.
//!
//! The first process of a process-id namespace never gets a signal that it has no handler for: the
//! kernel throws it away (`SIGNAL_UNKILLABLE`), so there is nothing to wait for. When nobody said
//! how long to wait, and the signal was provably thrown away before and after it was sent (no
//! handler, and no thread blocks it to fetch it later), the container is killed at once. A timeout
//! that was given, with the container or the request, is always kept.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use linux::cgroup::{Group, Layout};
use linux::process::{Pid, PidFd};
use monitor::protocol::Command;
use stdx::ErrorKind;

use super::entry::Container;
use super::{Containers, Shared, end, restart};
use crate::container::{ContainerSpec, RestartPolicy, Status, signal};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms::{self, Rooms};

/// Seconds between the stop signal and the kill.
const TIMEOUT: i64 = 10;
/// How long a killed container may take to end: before its monitor is killed, too, and once more.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How to stop, understood.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Request {
    signal: Option<i32>,
    timeout: Option<i64>,
}

impl Request {
    /// # Errors
    /// `Invalid` for a signal that does not exist.
    pub(super) fn new(signal: Option<&str>, timeout: Option<i64>) -> Result<Self> {
        let signal = signal.filter(|text| !text.is_empty()).map(signal::parse).transpose()?;
        Ok(Self { signal, timeout })
    }
}

impl Containers {
    /// Sends the stop signal (`signal` in its place), waits, kills. `timeout` in seconds replaces
    /// the container's; negative waits for ever.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let request = Request::new(signal, timeout)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            stop(&shared, &container, request).await?;
            shared.publish(&container, Action::Stop, &[]);
            Ok(())
        })
        .await
    }
}

/// Stops a container whose turn the caller holds.
///
/// # Errors
/// `NotModified` when it does not run.
pub(super) async fn stop(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    request: Request,
) -> Result<()> {
    if restart::cancel(shared, container).await? {
        return Ok(());
    }
    if container.live().is_none() {
        return Err(Error::NotModified(format!("container {} is already stopped", container.id)));
    }
    mark(shared, container).await?;
    end_it(shared, container, request).await?;
    // It may have ended by itself just before, and wait to be started again.
    restart::cancel(shared, container).await.map(drop)
}

/// Asks for the end of a container whose turn the caller holds, waits, kills.
///
/// # Errors
/// When its processes cannot be thawed.
pub(super) async fn end_it(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    request: Request,
) -> Result<()> {
    let Some(live) = container.live() else { return Ok(()) };
    let (number, seconds, patient) = container.read(|state| {
        let spec = &state.record.spec;
        let seconds = request.timeout.or(spec.stop_timeout);
        (
            request.signal.unwrap_or_else(|| stop_signal(spec)),
            seconds.unwrap_or(TIMEOUT),
            seconds.is_some(),
        )
    });
    let thrown_away = !patient && is_thrown_away(live.pid, number);
    let monitor = match send(shared, container, number, Frozen::Thaw).await {
        // Whoever wants it stopped wants it killed then.
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            return kill(shared, container).await;
        }
        other => other?,
    };
    let hopeless = thrown_away && is_thrown_away(live.pid, number);
    if !hopeless {
        let ended = until_ended(container, number, monitor);
        let in_time = match u64::try_from(seconds) {
            Err(_negative) => {
                ended.await;
                true
            }
            Ok(seconds) => tokio::time::timeout(Duration::from_secs(seconds), ended).await.is_ok(),
        };
        if in_time {
            return Ok(());
        }
    }
    kill(shared, container).await
}

/// Kills a container whose turn the caller holds, and waits for its end. Where its monitor does not
/// react, both are killed without it: another monitor then takes over and tells the end.
///
/// # Errors
/// When its processes cannot be thawed, or do not even end then.
pub(super) async fn kill(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    if container.live().is_none() {
        return Ok(());
    }
    let monitor = match send(shared, container, signal::KILL, Frozen::Thaw).await {
        Err(error) if error.kind() == ErrorKind::Unavailable => None,
        other => Some(other?),
    };
    if let Some(monitor) = monitor {
        let ended = until_ended(container, signal::KILL, monitor);
        if tokio::time::timeout(KILL_PATIENCE, ended).await.is_ok() {
            return Ok(());
        }
    }
    let monitor = container.watch().borrow().monitors;
    kill_without_monitor(shared, container).await;
    let ended = until_ended(container, signal::KILL, monitor);
    tokio::time::timeout(KILL_PATIENCE, ended).await.map_err(|_| {
        Error::Conflict(format!(
            "container {} was killed, but its processes do not end (do they wait for a device or \
             a network file system?)",
            container.id
        ))
    })
}

/// Kills the processes of a container by its control group, and then its monitor.
async fn kill_without_monitor(shared: &Arc<Shared>, container: &Arc<Container>) {
    let Some(live) = container.live() else { return };
    let id = container.id.clone();
    tracing::warn!(container = id, "its monitor does not react and is killed");
    let path = end::cgroup_path(&shared.rooms, container);
    let done = shared.rooms.blocking("kill a container", move |_| {
        let group = Layout::detect().and_then(|layout| Group::open(layout, &path));
        if let Err(error) = group.and_then(|group| group.kill()) {
            tracing::warn!(group = path, error = %stdx::chain(&error), "cannot kill a group");
        }
        kill_monitor(live.monitor, &id);
        Ok(())
    });
    drop(done.await);
}

/// Kills a monitor that does not react; its launcher replaces it.
pub(super) fn kill_monitor(pid: u32, id: &str) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = pid.and_then(|pid| PidFd::open(pid).ok()) else { return };
    // The number could mean another process by now. Read after the descriptor was opened.
    let name = fs::read_to_string(format!("/proc/{}/comm", process.pid().as_raw_nonzero()));
    if name.is_ok_and(|name| name.starts_with("brig: monitor"))
        && let Err(error) = process.signal(signal::KILL)
    {
        tracing::warn!(container = id, error = %stdx::chain(&error), "cannot kill its monitor");
    }
}

/// Notes that the end of the present run is asked for, so that no restart policy undoes it: not of
/// this daemon, nor of one that adopts the container, nor after a reboot. Within a restart by hand
/// only this daemon is to know.
///
/// # Errors
/// When it cannot be recorded.
pub(super) async fn mark(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    let lasts = container.change(|state| {
        state.ending_by_hand = true;
        let lasts =
            state.record.spec.host.restart != RestartPolicy::No && !state.restarting_by_hand;
        state.record.ended_by_hand |= lasts;
        lasts
    });
    if !lasts {
        return Ok(());
    }
    let container = Arc::clone(container);
    let save = move |rooms: &Arc<Rooms>| {
        container.save(rooms)?;
        container.live().map_or(Ok(()), |_| container.save_run_time(rooms))
    };
    shared.rooms.blocking("record the container", save).await
}

/// The signal that asks a container to end.
pub(super) fn stop_signal(spec: &ContainerSpec) -> i32 {
    let own = spec.stop_signal.as_deref().and_then(|text| signal::parse(text).ok());
    own.unwrap_or(signal::TERM)
}

/// What becomes of frozen processes that are sent a signal: they get none until they are thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frozen {
    /// They are thawed, to end.
    Thaw,
    /// They get it whenever somebody thaws them.
    Stay,
}

/// Sends a signal to the first process, and says so. Gives the number of the monitor told.
///
/// # Errors
/// When its processes cannot be thawed; `Unavailable` when its monitor does not react.
pub(super) async fn send(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    number: i32,
    frozen: Frozen,
) -> Result<u64> {
    shared.publish(container, Action::Kill, &[("signal", number.to_string())]);
    let delivered = deliver(container, number).await;
    if frozen == Frozen::Thaw && container.status() == Status::Paused {
        super::pause::thaw(shared, container).await?;
    }
    delivered
}

/// Has its monitor send a signal. Where that was killed, the one that takes over is told. Gives the
/// number of the monitor told.
///
/// # Errors
/// `Unavailable` when it does not react.
async fn deliver(container: &Container, number: i32) -> Result<u64> {
    let mut watch = container.watch();
    loop {
        let monitors = watch.borrow_and_update().monitors;
        let Some(live) = container.live() else { return Ok(monitors) };
        let command = Command::Signal { exec: None, signal: number };
        match live.control.send(&command, None) {
            Ok(()) => return Ok(monitors),
            Err(error) if error.is_unresponsive() => {
                return Err(rooms::monitor("signal", &container.id, error));
            }
            Err(error) => {
                tracing::debug!(container = container.id, error = %stdx::chain(&error), "signal");
            }
        }
        let changed = watch.wait_for(|phase| !phase.alive || phase.monitors != monitors).await;
        if changed.is_err() {
            return Ok(monitors);
        }
    }
}

/// Waits for the end. A monitor that takes over in the meantime is told the signal again: the one
/// before may have been killed with it in hand.
async fn until_ended(container: &Container, number: i32, mut monitor: u64) {
    let mut watch = container.watch();
    loop {
        let changed = watch.wait_for(|phase| !phase.alive || phase.monitors != monitor).await;
        match changed.map(|phase| phase.alive) {
            Ok(true) => {
                let now = watch.borrow().monitors;
                monitor = deliver(container, number).await.unwrap_or(now);
            }
            Ok(false) | Err(_) => return,
        }
    }
}

/// Whether the kernel throws this signal away: the process is first in its namespace, has no
/// handler for it, and no thread of it blocks it.
fn is_thrown_away(pid: u32, number: i32) -> bool {
    if number == signal::KILL {
        return false;
    }
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let first = field(&status, "NSpid:").is_some_and(|ids| {
        ids.split_whitespace().count() > 1 && ids.split_whitespace().last() == Some("1")
    });
    let caught = field(&status, "SigCgt:").is_none_or(|mask| signal::in_mask(mask, number));
    if !first || caught {
        return false;
    }
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        fs::read_to_string(thread.path().join("status")).is_ok_and(|status| {
            field(&status, "SigBlk:").is_some_and(|mask| !signal::in_mask(mask, number))
        })
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{field, is_thrown_away};

    #[test]
    fn a_process_outside_of_a_namespace_gets_its_signals() {
        assert!(!is_thrown_away(std::process::id(), 15));
        assert!(!is_thrown_away(u32::MAX, 15));
    }

    #[test]
    fn fields_of_status() {
        let status = "Name:\tsh\nNSpid:\t77\t1\nSigBlk:\t0000000000000000\n";
        assert_eq!(field(status, "NSpid:"), Some("77\t1"));
        assert_eq!(field(status, "SigCgt:"), None);
    }
}
