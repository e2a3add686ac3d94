//! Starting a container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use monitor::client::{Control, Launcher};
use monitor::protocol::{
    AttachStreams, Command, Event, Failure, FdRole, Launch, Log, Size, Started,
    Stdin as MonitorStdin,
};
use network::EndpointRecord;
use stdx::ErrorKind;
use storage::RootMount;

use super::connection::{self, Frames};
use super::entry::{Container, Live};
use super::prepare::{self, Attachment, Joined, Others};
use super::{Containers, Shared, end, restart};
use crate::container::machine::{self, Refusal, Step};
use crate::container::record::{LiveRecord, Record};
use crate::container::{
    NamespaceMode, NetworkMode, RestartPolicy, Status, Stdin, TerminalSize, log,
};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms::{self, Rooms};

impl Containers {
    /// Starts it; answers once its program has been executed.
    ///
    /// # Errors
    /// `NotModified` when it runs; `StartFailed` with the exit code when its program cannot be run.
    pub async fn start(&self, name: &str) -> Result<()> {
        let container = self.shared.table.find(name)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            container.change(|state| state.record.restarts = 0);
            start(&shared, &container, Starter::Hand).await
        })
        .await
    }
}

/// Who wants a container started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starter {
    /// Somebody, who is told when it fails.
    Hand,
    /// Its restart policy, which tries again.
    Policy,
}

/// What a launch is made from.
struct Plan {
    container: Arc<Container>,
    record: Record,
    hostname: String,
    others: Others,
    clients: Vec<(AttachStreams, OwnedFd)>,
    size: Option<TerminalSize>,
}

/// A start that failed, with what is to be taken back.
struct Failed {
    endpoint: Option<EndpointRecord>,
    error: Error,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { endpoint: None, error }
    }
}

/// A launch under way.
struct Launched {
    control: Control,
    launcher: Arc<Launcher>,
    endpoint: Option<EndpointRecord>,
}

/// Starts a container whose turn the caller holds.
///
/// # Errors
/// As [`Containers::start`]. A policy's start that fails is tried again by itself.
pub(super) async fn start(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    starter: Starter,
) -> Result<()> {
    check(container)?;
    if shared.closing.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    match attempt(shared, container).await {
        Ok(frames) => {
            shared.spawn(connection::follow(Arc::clone(shared), Arc::clone(container), frames));
            keep(shared, container).await
        }
        Err(failed) => Err(fail(shared, container, starter, failed).await),
    }
}

/// Launches it and hears that it runs.
async fn attempt(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<Frames, Failed> {
    let others = others(shared, container)?;
    let plan = container.change(|state| Plan {
        container: Arc::clone(container),
        record: state.record.clone(),
        hostname: hostname(state, &others),
        others,
        clients: std::mem::take(&mut state.waiting_clients),
        size: state.size.or(state.record.spec.host.console_size),
    });
    let launched =
        shared.rooms.blocking("start the container", move |rooms| launch(rooms, &plan)).await?;
    match first_event(&launched.control, &container.id).await {
        Ok((started, frames)) => {
            begin(shared, container, launched, &started);
            Ok(frames)
        }
        Err(error) => Err(Failed { endpoint: launched.endpoint, error }),
    }
}

fn check(container: &Container) -> Result<()> {
    let id = &container.id;
    match machine::next(container.status(), Step::Started) {
        Ok(_) => Ok(()),
        Err(Refusal::Already) => {
            Err(Error::NotModified(format!("container {id} is already started")))
        }
        Err(Refusal::Paused) => {
            Err(Error::Conflict("cannot start a paused container, try unpause instead".to_owned()))
        }
        Err(Refusal::Removing) => {
            Err(Error::Conflict("container is marked for removal and cannot be started".to_owned()))
        }
        Err(_) => Err(Error::Conflict("container is dead and cannot be started".to_owned())),
    }
}

fn hostname(state: &super::entry::State, others: &Others) -> String {
    let spec = &state.record.spec;
    if let Some(other) = &others.network {
        return other.hostname.clone();
    }
    let shares = spec.host.uts_mode == NamespaceMode::Host
        || (spec.host.network.mode == NetworkMode::Host && spec.hostname.is_none());
    if shares {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        return host.trim().to_owned();
    }
    state.hostname()
}

/// The containers that it joins: they must run.
fn others(shared: &Shared, container: &Container) -> Result<Others> {
    let (network, pid) = container.read(|state| {
        let host = &state.record.spec.host;
        (host.network.mode.clone(), host.pid_mode.clone())
    });
    let join = |name: &str, what: &str| {
        let other = shared.table.find(name)?;
        let (pid, hostname) =
            other.read(|state| (state.live.as_ref().map(|live| live.pid), state.hostname()));
        match pid {
            Some(pid) => Ok(Joined { id: other.id.clone(), pid, hostname }),
            None => Err(Error::Conflict(format!(
                "cannot join {what} of a non running container: {}",
                other.id
            ))),
        }
    };
    let network = match &network {
        NetworkMode::Container(name) => Some(join(name, "network")?),
        _ => None,
    };
    let pid = match &pid {
        NamespaceMode::Container(name) => Some(join(name, "PID namespace")?),
        _ => None,
    };
    Ok(Others { network, pid })
}

/// Everything synchronous: network, files, configuration, the request to the launcher.
fn launch(rooms: &Arc<Rooms>, plan: &Plan) -> Result<Launched> {
    let attachment = prepare::attach(rooms, &plan.record, &plan.others)?;
    match launch_attached(rooms, plan, &attachment) {
        Ok((control, launcher)) => {
            Ok(Launched { control, launcher, endpoint: attachment.endpoint })
        }
        Err(error) => {
            if let Some(endpoint) = &attachment.endpoint {
                end::disconnect(rooms, endpoint);
            }
            Err(error)
        }
    }
}

fn launch_attached(
    rooms: &Arc<Rooms>,
    plan: &Plan,
    attachment: &Attachment,
) -> Result<(Control, Arc<Launcher>)> {
    let record = &plan.record;
    let id = record.id.as_str();
    let layout = rooms.store.layout();
    let run_directory = layout.container_run_dir(id);
    drop(std::fs::remove_dir_all(&run_directory));
    let endpoint = attachment.endpoint.as_ref();
    let files = prepare::write_files(rooms, record, &plan.hostname, endpoint, &plan.others)?;
    for mount in &record.mounts {
        super::planning::ensure_source(mount)?;
    }
    let mut spec = prepare::specification(rooms, record, &plan.hostname, &files, &plan.others)?;
    if let (Some(process), Some(size), true) = (&mut spec.process, plan.size, record.spec.terminal)
    {
        let (height, width) = (size.height, size.width);
        process.console_size = Some(oci::runtime::ConsoleSize { height, width });
    }
    let log = log::options(&record.spec.host.log)?
        .map(|options| Log { path: layout.log_path(id), options });
    if log.is_some() {
        let directory = layout.container_dir(id);
        std::fs::create_dir_all(&directory)
            .map_err(|error| Error::io("create", directory.display().to_string(), error))?;
    }
    let root = root(rooms, record)?;
    let live = LiveRecord { endpoint: endpoint.cloned(), ..LiveRecord::default() };
    plan.container.change(|state| state.launching = Some(live));
    plan.container.save_run_time(rooms)?;
    let launch = Launch {
        id: id.to_owned(),
        run_directory,
        spec,
        root,
        stdin: stdin(record.spec.stdin),
        size: plan.size.map(|size| Size { height: size.height, width: size.width }),
        log,
        monitor_cgroup: Some(format!("{}/monitors", rooms.cgroup_parent)),
    };
    let mut fds: Vec<(FdRole, BorrowedFd<'_>)> = prepare::roles(attachment);
    fds.extend(plan.clients.iter().map(|(streams, fd)| (FdRole::Attach(*streams), fd.as_fd())));
    let failed = |error| rooms::monitor("launch", id, error);
    let launcher = rooms.launchers.now();
    match launcher.launch(&launch, &fds) {
        Ok(control) => Ok((control, launcher)),
        Err(error) => {
            // It has just died, and nobody has noticed yet.
            let cause = stdx::chain(&error);
            tracing::warn!(container = id, cause, "launch");
            let launcher = rooms.launchers.after(&launcher)?;
            launcher.launch(&launch, &fds).map(|control| (control, launcher)).map_err(failed)
        }
    }
}

/// The root of a container. An overlay that was mounted `volatile` refuses to be mounted again;
/// since the machine has not crashed in between (run-time state is from this boot), it may.
pub(super) fn root(rooms: &Rooms, record: &Record) -> Result<RootMount> {
    let root = rooms
        .store
        .snapshots()
        .root_mount(&record.id)
        .map_err(|error| rooms::storage("find the files of", &record.name, error))?;
    if let RootMount::Overlay { work, volatile: true, .. } = &root
        && record.was_started
    {
        drop(std::fs::remove_dir_all(work.join("work/incompat")));
    }
    Ok(root)
}

const fn stdin(stdin: Stdin) -> MonitorStdin {
    match stdin {
        Stdin::Closed => MonitorStdin::Closed,
        Stdin::Open { once } => MonitorStdin::Open { once },
    }
}

async fn first_event(control: &Control, id: &str) -> Result<(Started, Frames)> {
    let events =
        control.events().map_err(|error| rooms::monitor("listen to the monitor of", id, error))?;
    let mut frames = Frames::new(events)?;
    match frames.event().await? {
        Some(Event::Started(started)) => Ok((started, frames)),
        Some(Event::Failed(failure)) => Err(failed(failure)),
        _ => Err(Error::StartFailed {
            message: "the container's monitor was killed during the start".to_owned(),
            exit_code: 128,
            kind: ErrorKind::Internal,
        }),
    }
}

/// A failure as the monitor tells it.
pub(super) fn failed(failure: Failure) -> Error {
    let message = match failure.hint {
        Some(hint) => format!("{} ({hint})", failure.message),
        None => failure.message,
    };
    Error::StartFailed { message, exit_code: failure.exit_code, kind: failure.kind }
}

fn begin(shared: &Shared, container: &Container, launched: Launched, started: &Started) {
    let Launched { control, launcher, endpoint } = launched;
    let network = endpoint.as_ref().map(|endpoint| endpoint.network.clone());
    let control = Arc::new(control);
    let late_clients = container.change(|state| {
        state.status = Status::Running;
        state.launching = None;
        state.live = Some(Live {
            control: Arc::clone(&control),
            launcher: Some(launcher),
            pid: started.pid,
            monitor: started.monitor,
            since: Instant::now(),
            endpoint,
        });
        state.ending_by_hand = false;
        let record = &mut state.record;
        record.running = true;
        record.was_started = true;
        record.ended_by_hand = false;
        record.last.started_at = Some(end::timestamp(started.at));
        record.last.finished_at = None;
        record.last.exit_code = 0;
        record.last.oom_killed = false;
        record.last.error.clear();
        std::mem::take(&mut state.waiting_clients)
    });
    // Those who came while it was being started.
    for (streams, client) in late_clients {
        drop(control.send(&Command::Attach { exec: None, streams }, Some(client.as_fd())));
    }
    shared.publish_volumes(container, &Action::Mount);
    if let Some(network) = network {
        shared.publish_network(container, &network, Action::Connect);
    }
    shared.publish(container, Action::Start, &[]);
}

/// Remembers that it runs: before the answer when a reboot must start it again, else on the side.
async fn keep(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    let (auto_remove, restart) =
        container.read(|s| (s.record.spec.host.auto_remove, s.record.spec.host.restart));
    if auto_remove {
        return Ok(());
    }
    if restart != RestartPolicy::No {
        let container = Arc::clone(container);
        return shared
            .rooms
            .blocking("record the container", move |rooms| container.save(rooms))
            .await;
    }
    end::save_later(shared, container);
    Ok(())
}

/// Takes back what a failed start left, and does what the options want next; gives the error.
async fn fail(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    starter: Starter,
    failed: Failed,
) -> Error {
    let Failed { endpoint, error } = failed;
    let (exit_code, message) = match &error {
        Error::StartFailed { exit_code, message, .. } => (*exit_code, message.clone()),
        other => (128, stdx::chain(other)),
    };
    take_back(shared, container, endpoint).await;
    let delay = container.failed_to_start(&message, |state| {
        state.launching = None;
        state.record.last.exit_code = if exit_code == 125 { 128 } else { exit_code };
        state.record.last.error.clone_from(&message);
        let delay = match starter {
            Starter::Hand => None,
            Starter::Policy => restart::after_failure(state),
        };
        if delay.is_some() {
            state.status = Status::Restarting;
        } else if state.status == Status::Restarting {
            state.status = Status::Exited;
        }
        state.record.running = delay.is_some();
        delay
    });
    end::save_later(shared, container);
    if let Some(delay) = delay {
        restart::later(shared, container, delay);
    } else if container.read(|state| state.record.spec.host.auto_remove) {
        super::remove::remove_later(shared, container);
    }
    error
}

async fn take_back(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    endpoint: Option<EndpointRecord>,
) {
    let id = container.id.clone();
    let undone = shared.rooms.blocking("take back a start", move |rooms| {
        if let Some(endpoint) = &endpoint {
            end::disconnect(rooms, endpoint);
        }
        drop(rooms.store.transient().delete(storage::Table::CONTAINERS, &id));
        drop(std::fs::remove_dir_all(rooms.store.layout().container_run_dir(&id)));
        Ok(())
    });
    if let Err(error) = undone.await {
        tracing::warn!(container = container.id, error = %stdx::chain(&error), "start");
    }
}
