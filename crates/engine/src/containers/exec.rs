//! Further processes in a running container.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linux::path::Root;
use monitor::protocol::{
    AttachStreams, Command, Exec as Request, Failure, Size, Stdin as MonitorStdin, WhenSlow,
};
use tokio::sync::watch;

use super::entry::Container;
use super::{Containers, Shared, attach, connection, not_running, prepare, start};
use crate::attach::{AttachSession, Ending, Starting};
use crate::container::{ExecInspect, ExecSpec, ExecStart, Status, TerminalSize};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms;
use crate::spec::{self, ExecProcess};

/// How long an exec that has ended can still be looked at, and one that was made can be started.
const KEPT: Duration = Duration::from_mins(5);

/// The exit code of an exec whose end nobody has seen.
const UNSEEN: i32 = 255;

/// All execs.
#[derive(Debug, Default)]
pub(super) struct Execs {
    table: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    container: String,
    spec: ExecSpec,
    phase: watch::Sender<Phase>,
    /// Told at the end.
    ending: watch::Sender<Ending>,
    made_at: Instant,
    ended_at: Option<Instant>,
}

impl Entry {
    /// Whether nobody is to come back to it any more: it has ended, or was never started, long ago.
    fn is_over(&self, now: Instant) -> bool {
        let waits = *self.phase.borrow() == Phase::Created;
        let since = self.ended_at.or_else(|| waits.then_some(self.made_at));
        since.is_some_and(|since| now.saturating_duration_since(since) >= KEPT)
    }
}

/// Where an exec is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Created,
    Starting,
    Running { pid: u32 },
    Failed(Failure),
    Ended { exit_code: i32 },
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: &str, container: &str, spec: ExecSpec) {
        let mut table = self.lock();
        let now = Instant::now();
        table.retain(|_, entry| !entry.is_over(now));
        table.insert(
            id.to_owned(),
            Entry {
                container: container.to_owned(),
                spec,
                phase: watch::Sender::new(Phase::Created),
                ending: watch::Sender::new(Ending::Running),
                made_at: now,
                ended_at: None,
            },
        );
    }

    /// An exec that an earlier daemon started.
    pub(super) fn adopt(&self, id: &str, container: &str, pid: u32) {
        let known = self.lock().contains_key(id);
        if !known {
            self.add(id, container, ExecSpec::default());
        }
        self.started(id, pid);
    }

    pub(super) fn started(&self, id: &str, pid: u32) {
        self.set(id, Phase::Running { pid });
    }

    pub(super) fn failed(&self, id: &str, failure: Failure) {
        self.set(id, Phase::Failed(failure));
    }

    pub(super) fn exited(&self, id: &str, exit_code: i32) {
        self.set(id, Phase::Ended { exit_code });
    }

    fn set(&self, id: &str, phase: Phase) {
        self.set_with(id, phase, Ending::Over);
    }

    fn set_with(&self, id: &str, phase: Phase, ending: Ending) {
        if let Some(entry) = self.lock().get_mut(id) {
            if matches!(phase, Phase::Failed(_) | Phase::Ended { .. }) {
                entry.ended_at = Some(Instant::now());
                entry.ending.send_replace(ending);
            }
            entry.phase.send_replace(phase);
        }
    }

    /// Another monitor has taken a container over, which knows these of its execs. Nobody will hear
    /// how the others end.
    pub(super) fn cut(&self, container: &str, known: &[&str]) {
        let failure = Failure {
            message: "the monitor of the container was killed: the process has lost its streams, \
                      and its end is not known"
                .to_owned(),
            kind: stdx::ErrorKind::Unavailable,
            exit_code: UNSEEN,
            hint: None,
        };
        let ids = self.of(container);
        for id in ids.iter().filter(|id| !known.contains(&id.as_str())) {
            let has_begun = |entry: &Entry| *entry.phase.borrow() != Phase::Created;
            if self.lock().get(id).is_some_and(has_begun) {
                let ending = Ending::Cut(failure.message.clone());
                self.set_with(id, Phase::Failed(failure.clone()), ending);
            }
        }
    }

    /// A container has ended, and its execs with it.
    pub(super) fn container_ended(&self, container: &str) {
        let ids: Vec<String> = self
            .lock()
            .iter()
            .filter(|(_, entry)| entry.container == container && entry.ended_at.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.set(&id, Phase::Ended { exit_code: 137 });
        }
    }

    /// A container was removed, and its execs with it.
    pub(super) fn forget(&self, container: &str) {
        self.lock().retain(|_, entry| entry.container != container);
    }

    /// The ids of a container's execs that have not ended.
    pub(super) fn of(&self, container: &str) -> Vec<String> {
        let table = self.lock();
        let mut ids: Vec<String> = table
            .iter()
            .filter(|(_, entry)| entry.container == container && entry.ended_at.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// What a start needs of the table.
struct Claimed {
    container: String,
    spec: ExecSpec,
    phase: watch::Receiver<Phase>,
    ending: watch::Receiver<Ending>,
}

impl Containers {
    /// Prepares a process to be run in it; gives the exec's id.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is paused.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn exec_create(&self, name: &str, spec: ExecSpec) -> Result<String> {
        let container = self.shared.table.find(name)?;
        check(&container)?;
        if spec.command.is_empty() {
            return Err(Error::Invalid("No exec command specified".to_owned()));
        }
        if let Some(directory) = spec.working_directory.as_deref()
            && !directory.is_empty()
            && !directory.starts_with('/')
        {
            return Err(Error::Invalid(format!(
                "the working directory '{directory}' is invalid, it needs to be an absolute path"
            )));
        }
        attach::detach_keys(spec.detach_keys.as_deref())?;
        let id = stdx::random::hex_id();
        let command = spec.command.join(" ");
        self.shared.execs.add(&id, &container.id, spec);
        let more = [("execID", id.clone())];
        self.shared.publish(&container, Action::ExecCreate { command }, &more);
        Ok(id)
    }

    /// Runs the prepared process; `None` when detached.
    ///
    /// # Errors
    /// `Conflict` when it was started before; `StartFailed` as `start`.
    pub async fn exec_start(&self, id: &str, start: ExecStart) -> Result<Option<AttachSession>> {
        let id = self.exec_id(id)?;
        self.run(move |shared| async move {
            let claimed = claim(&shared, &id)?;
            let result = run(&shared, &id, claimed, start).await;
            if let Err(error) = &result {
                shared.execs.failed(&id, failure_of(error));
            }
            result
        })
        .await
    }

    /// What is known of an exec.
    ///
    /// # Errors
    /// `NoSuchExec`.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        let id = self.exec_id(id)?;
        let table = self.shared.execs.lock();
        let entry = table.get(&id).ok_or_else(|| Error::NoSuchExec(id.clone()))?;
        let phase = entry.phase.borrow().clone();
        let (running, pid, exit_code) = match phase {
            Phase::Created => (false, 0, None),
            Phase::Starting => (true, 0, None),
            Phase::Running { pid } => (true, pid, None),
            Phase::Failed(failure) => (false, 0, Some(failure.exit_code)),
            Phase::Ended { exit_code } => (false, 0, Some(exit_code)),
        };
        Ok(ExecInspect {
            container_id: entry.container.clone(),
            spec: entry.spec.clone(),
            running,
            exit_code,
            pid,
            can_remove: entry.ended_at.is_some(),
            id,
        })
    }

    /// Notes that a client which was attached to an exec has detached.
    pub fn exec_detached(&self, id: &str) {
        let found = self.exec_id(id).and_then(|id| {
            let table = self.shared.execs.lock();
            let entry = table.get(&id).ok_or_else(|| Error::NoSuchExec(id.clone()))?;
            Ok((self.shared.table.find(&entry.container)?, id))
        });
        if let Ok((container, id)) = found {
            self.shared.publish(&container, Action::ExecDetach, &[("execID", id)]);
        }
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// `NoSuchExec`, `Conflict`.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn exec_resize(&self, id: &str, size: TerminalSize) -> Result<()> {
        let id = self.exec_id(id)?;
        let (container, running) = {
            let table = self.shared.execs.lock();
            let entry = table.get(&id).ok_or_else(|| Error::NoSuchExec(id.clone()))?;
            let running = matches!(*entry.phase.borrow(), Phase::Running { .. });
            (entry.container.clone(), running)
        };
        let live = self.shared.table.find(&container)?.live();
        let Some(live) = live.filter(|_| running) else {
            return Err(Error::Conflict(format!("exec {id} is not running")));
        };
        let size = Size { height: size.height, width: size.width };
        live.control
            .send(&Command::Resize { exec: Some(id.clone()), size }, None)
            .map_err(|error| rooms::monitor("resize the terminal of", &id, error))
    }

    /// The whole id of an exec given by its id or a unique prefix.
    fn exec_id(&self, id: &str) -> Result<String> {
        let table = self.shared.execs.lock();
        if table.contains_key(id) {
            return Ok(id.to_owned());
        }
        let mut found = table.keys().filter(|key| !id.is_empty() && key.starts_with(id));
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found.clone()),
            _ => Err(Error::NoSuchExec(id.to_owned())),
        }
    }
}

fn check(container: &Container) -> Result<()> {
    let id = &container.id;
    match container.status() {
        Status::Running => Ok(()),
        Status::Paused => Err(Error::Conflict(format!(
            "container {id} is paused, unpause the container before exec"
        ))),
        Status::Restarting => Err(Error::Conflict(format!(
            "container {id} is restarting, wait until the container is running"
        ))),
        _ => Err(not_running(container)),
    }
}

fn claim(shared: &Shared, id: &str) -> Result<Claimed> {
    let table = shared.execs.lock();
    let entry = table.get(id).ok_or_else(|| Error::NoSuchExec(id.to_owned()))?;
    let is_new = entry.phase.send_if_modified(|phase| {
        let is_new = *phase == Phase::Created;
        if is_new {
            *phase = Phase::Starting;
        }
        is_new
    });
    if !is_new {
        return Err(Error::Conflict(format!("exec instance {id} has already run")));
    }
    Ok(Claimed {
        container: entry.container.clone(),
        spec: entry.spec.clone(),
        phase: entry.phase.subscribe(),
        ending: entry.ending.subscribe(),
    })
}

fn failure_of(error: &Error) -> Failure {
    let exit_code = match error {
        Error::StartFailed { exit_code, .. } => *exit_code,
        _ => 126,
    };
    Failure { message: stdx::chain(error), kind: error.kind(), exit_code, hint: None }
}

async fn run(
    shared: &Arc<Shared>,
    id: &str,
    claimed: Claimed,
    start: ExecStart,
) -> Result<Option<AttachSession>> {
    let container = shared.table.find(&claimed.container)?;
    check(&container)?;
    let live = container.live().ok_or_else(|| not_running(&container))?;
    let spec = claimed.spec;
    let process = process(shared, &container, live.pid, &spec, start.size).await?;
    let attached = !start.detach && (spec.stdin || spec.stdout || spec.stderr);
    let streams = AttachStreams {
        stdin: spec.stdin,
        stdout: spec.stdout,
        stderr: spec.stderr,
        when_slow: WhenSlow::default(),
    };
    let wants_input = attached && spec.stdin;
    let request = Request {
        id: id.to_owned(),
        process,
        stdin: if wants_input { MonitorStdin::Open { once: true } } else { MonitorStdin::Closed },
        size: start.size.map(|size| Size { height: size.height, width: size.width }),
        attach: attached.then_some(streams),
    };
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    let command = spec.command.join(" ");
    let launch = Launch { shared, id, container, command, request, phase: claimed.phase };
    if !attached {
        launch.run(None).await?;
        return Ok(None);
    }
    let keys = attach::detach_keys(spec.detach_keys.as_deref())?;
    let (ours, theirs) = attach::pair()?;
    Ok(Some(AttachSession {
        terminal: spec.terminal,
        logs: None,
        starting: Some(Starting::new(launch.run_or_tell(theirs))),
        stream: Some(connection::watched(ours)?),
        stdin: spec.stdin,
        keys: Some(keys).filter(|_| spec.terminal && spec.stdin),
        ending: Some(claimed.ending),
    }))
}

/// Everything that is needed to start the process, once the client is ready for its output.
struct Launch {
    shared: Arc<Shared>,
    id: String,
    container: Arc<Container>,
    command: String,
    request: Request,
    phase: watch::Receiver<Phase>,
}

impl Launch {
    async fn run(self, theirs: Option<OwnedFd>) -> Result<()> {
        let Self { shared, id, container, command, request, phase } = self;
        let live = container.live().ok_or_else(|| not_running(&container))?;
        let theirs = theirs.as_ref().map(AsFd::as_fd);
        live.control
            .send(&Command::Exec(Box::new(request)), theirs)
            .map_err(|error| rooms::monitor("run a process in", &container.id, error))?;
        shared.publish(&container, Action::ExecStart { command }, &[("execID", id)]);
        await_start(phase).await
    }

    async fn run_or_tell(self, theirs: OwnedFd) -> Result<()> {
        let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
        let result = self.run(Some(theirs)).await;
        if let Err(error) = &result {
            shared.execs.failed(&id, failure_of(error));
        }
        result
    }
}

async fn await_start(mut phase: watch::Receiver<Phase>) -> Result<()> {
    let reached = phase.wait_for(|phase| !matches!(phase, Phase::Created | Phase::Starting)).await;
    match reached.map(|phase| phase.clone()) {
        Ok(Phase::Failed(failure)) => Err(start::failed(failure)),
        Ok(_) => Ok(()),
        Err(_closed) => Err(Error::Conflict("the container was removed".to_owned())),
    }
}

/// What the monitor is to run. Names are looked up in the container as it is now.
async fn process(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    pid: u32,
    exec: &ExecSpec,
    size: Option<TerminalSize>,
) -> Result<oci::runtime::Process> {
    let (spec, hostname) = container.read(|s| (s.record.spec.clone(), s.hostname()));
    let exec = exec.clone();
    shared
        .rooms
        .blocking("prepare a process", move |rooms| {
            let root = format!("/proc/{pid}/root");
            let root = Root::open(Path::new(&root))
                .map_err(|error| rooms::kernel("look into", "the container", error))?;
            let accounts = prepare::read_accounts(&root);
            let user = exec.user.as_deref().filter(|user| !user.is_empty());
            let user = user.or(spec.user.as_deref()).unwrap_or_default();
            let identity = prepare::identity_of(user, &spec, &accounts)?;
            spec::exec_process(&ExecProcess {
                container: &spec,
                hostname: &hostname,
                exec: &exec,
                size,
                identity: &identity,
                available: &rooms.available,
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{ExecSpec, Execs, KEPT};

    #[test]
    fn what_is_over_is_forgotten() {
        let execs = Execs::default();
        for id in ["waits", "runs", "ended"] {
            execs.add(id, "container", ExecSpec::default());
        }
        execs.started("runs", 5);
        execs.exited("ended", 0);
        let over = |now: Instant| {
            let table = execs.lock();
            let mut ids: Vec<_> = table.iter().filter(|(_, entry)| entry.is_over(now)).collect();
            ids.sort_unstable_by_key(|(id, _)| id.as_str());
            ids.into_iter().map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        assert!(over(Instant::now()).is_empty());
        assert_eq!(over(Instant::now() + KEPT), ["ended", "waits"]);
    }
}
