//! Hearing from monitors: one task per live container, and one for the launcher's notices.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use monitor::client::{self, Control, Launcher};
use monitor::protocol::{Event, Exit, Notice, Snapshot};
use stdx::frame::Decoder;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::entry::Container;
use super::{Shared, end, stop};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms;

/// How often, and after how long each time, a monitor is looked for that may take over. Only after a
/// monitor has been killed: its socket is in the directory before anybody accepts there, so that who
/// watched the directory would be told too early and had to come back as well.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// How long a monitor may take to say how its container is.
const PATIENCE: Duration = Duration::from_secs(10);
/// A launcher that lives less long does not live.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// So many of them in a row are enough.
const MOST_FAILURES: u32 = 3;

/// Frames from a socket, as they come.
#[derive(Debug)]
pub(super) struct Frames {
    stream: UnixStream,
    decoder: Decoder,
}

impl Frames {
    /// Over a connected socket.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub(super) fn new(socket: OwnedFd) -> Result<Self> {
        Ok(Self { stream: watched(socket)?, decoder: Decoder::new() })
    }

    /// The next frame; `None` at the end. Cancelling the future loses nothing.
    ///
    /// # Errors
    /// When reading fails.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        loop {
            let failed = |error| Error::io("hear from", "a monitor", error);
            if let Some(frame) = self.decoder.next_frame().map_err(failed)? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut buffer).await.map_err(failed)? {
                0 => return Ok(None),
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }

    /// The next event of a monitor; `None` at the end of the connection.
    ///
    /// # Errors
    /// When reading fails or the message is not understood.
    pub(super) async fn event(&mut self) -> Result<Option<Event>> {
        match self.next().await? {
            None => Ok(None),
            Some(frame) => client::event(&frame)
                .map(Some)
                .map_err(|error| rooms::monitor("understand", "a monitor", error)),
        }
    }
}

/// A connected socket for asynchronous use.
///
/// # Errors
/// When it cannot be watched.
pub(crate) fn watched(socket: OwnedFd) -> Result<UnixStream> {
    let socket = StdUnixStream::from(socket);
    socket
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(socket))
        .map_err(|error| Error::io("watch", "a socket", error))
}

/// Follows a container's monitor until the container ends or the engine closes.
pub(super) async fn follow(shared: Arc<Shared>, container: Arc<Container>, mut frames: Frames) {
    let cancel = shared.rooms.cancel.clone();
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            event = frames.event() => event,
        };
        match event {
            Ok(Some(Event::Exited(exit))) => {
                end::ended(&shared, &container, &exit).await;
                return;
            }
            Ok(Some(Event::Failed(failure))) => {
                let mut exit = unseen_exit(end::now(), failure.message);
                exit.code = failure.exit_code;
                end::ended(&shared, &container, &exit).await;
                return;
            }
            Ok(Some(event)) => heard(&shared, &container, event),
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(container = container.id, error = %stdx::chain(&error), "monitor");
                break;
            }
        }
    }
    lost(&shared, &container, "its monitor was killed").await;
}

fn heard(shared: &Shared, container: &Container, event: Event) {
    match event {
        Event::OutOfMemory => shared.publish(container, Action::Oom, &[]),
        Event::ExecStarted { id, pid } => shared.execs.started(&id, pid),
        Event::ExecFailed { id, failure } => shared.execs.failed(&id, failure),
        Event::ExecExited { id, exit } => {
            shared.execs.exited(&id, exit.code);
            let more = [("execID", id), ("exitCode", exit.code.to_string())];
            shared.publish(container, Action::ExecDie, &more);
        }
        Event::Refused { command, exec, failure } => {
            if let Some(exec) = exec.filter(|_| command == "exec") {
                shared.execs.failed(&exec, failure);
            } else {
                tracing::warn!(container = container.id, command, failure.message, "refused");
            }
        }
        Event::Started(started) => {
            container.change(|state| {
                if let Some(live) = &mut state.live {
                    live.pid = started.pid;
                }
            });
        }
        Event::Snapshot(_) | Event::Failed(_) | Event::Exited(_) => {}
    }
}

/// The connection ended before the container did: its monitor wrote down the end, or another
/// monitor takes over (the launcher will tell), or the container is ended.
async fn lost(shared: &Arc<Shared>, container: &Arc<Container>, cause: &str) {
    if container.live().is_none() {
        return;
    }
    if has_recorded_end(shared, container).await {
        return;
    }
    let launchers = &shared.rooms.launchers;
    let is_told = container
        .live()
        .and_then(|live| live.launcher)
        .is_some_and(|launcher| !launchers.are_over() && Arc::ptr_eq(&launcher, &launchers.now()));
    if !is_told && !find_successor(shared, container).await {
        end::kill_rest(shared, container, cause).await;
    }
}

/// Whether its monitor wrote down how it ended before it went; then that is its end.
async fn has_recorded_end(shared: &Arc<Shared>, container: &Arc<Container>) -> bool {
    let id = container.id.clone();
    let recorded = shared
        .rooms
        .blocking("read the end of a container", move |rooms| {
            client::recorded_exit(&rooms.store.layout().container_run_dir(&id))
                .map_err(|error| rooms::monitor("read how ended", &id, error))
        })
        .await;
    let Ok(Some(exit)) = recorded else { return false };
    end::ended(shared, container, &exit).await;
    true
}

/// Looks whether another monitor takes over that nobody tells us of: the launcher of an earlier
/// daemon still watches over its monitors. It does so at once or never.
fn find_successor<'a>(
    shared: &'a Arc<Shared>,
    container: &'a Arc<Container>,
) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
    Box::pin(async move {
        for _ in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE).await;
            if container.live().is_none() || matches!(try_adopt(shared, container).await, Ok(true))
            {
                return true;
            }
        }
        false
    })
}

/// Listens to the launcher, and to the next one when it dies.
pub(super) async fn notices(shared: Arc<Shared>, mut launcher: Arc<Launcher>, mut frames: Frames) {
    let cancel = shared.rooms.cancel.clone();
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        tokio::select! {
            () = cancel.cancelled() => return,
            () = listen(&shared, &launcher, frames) => {}
        }
        if shared.rooms.launchers.are_over() {
            return;
        }
        failures = if begun.elapsed() < SHORT_LIFE { failures + 1 } else { 0 };
        match another(&shared, &launcher).await.filter(|_| failures < MOST_FAILURES) {
            Some((next, its_frames)) => {
                tracing::warn!("the launcher has died: another one was started");
                (launcher, frames) = (next, its_frames);
            }
            None => break,
        }
        forsaken(&shared).await;
    }
    tracing::error!("the launcher is gone: containers go on, new ones cannot be started");
    shared.rooms.launchers.give_up();
    forsaken(&shared).await;
}

async fn another(shared: &Arc<Shared>, dead: &Arc<Launcher>) -> Option<(Arc<Launcher>, Frames)> {
    let dead = Arc::clone(dead);
    let next = shared.rooms.blocking("start another launcher", move |rooms| {
        let next = rooms.launchers.after(&dead)?;
        let notices = next.notices();
        let notices =
            notices.map_err(|error| rooms::monitor("listen to", "the launcher", error))?;
        Ok((next, notices))
    });
    let found = next.await.and_then(|(next, notices)| Ok((next, Frames::new(notices)?)));
    found.inspect_err(|error| tracing::error!(error = %stdx::chain(error), "launcher")).ok()
}

/// Ends the containers whose monitor and whose launcher are dead.
async fn forsaken(shared: &Arc<Shared>) {
    for container in shared.table.all() {
        let run_directory = shared.rooms.store.layout().container_run_dir(&container.id);
        let is_silent =
            || Control::connect(&run_directory).is_err_and(|error| error.nobody_listens());
        if container.live().is_some() && is_silent() {
            lost(shared, &container, "its monitor and the launcher were killed").await;
        }
    }
}

/// Does what a launcher tells, to the end of the connection.
async fn listen(shared: &Arc<Shared>, launcher: &Arc<Launcher>, mut frames: Frames) {
    while let Ok(Some(frame)) = frames.next().await {
        match client::notice(&frame) {
            Ok(Notice::MonitorReplaced { id, cause }) => {
                tracing::warn!(container = id, cause, "another monitor has taken over");
                if let Ok(container) = shared.table.find(&id) {
                    let live = container.live().and_then(|live| live.launcher);
                    // Others are looked after by those who follow them.
                    if live.is_some_and(|its| Arc::ptr_eq(&its, launcher)) {
                        readopt(shared, &container).await;
                    }
                }
            }
            Ok(Notice::MonitorLost { id, cause }) => {
                if let Ok(container) = shared.table.find(&id) {
                    end::kill_rest(shared, &container, &cause).await;
                }
            }
            Err(error) => tracing::warn!(error = %stdx::chain(&error), "launcher"),
        }
    }
}

async fn readopt(shared: &Arc<Shared>, container: &Arc<Container>) {
    let adopted = adopt(shared, container).await;
    if let Err(error) = adopted
        && !has_recorded_end(shared, container).await
    {
        let cause = stdx::chain(&error);
        end::kill_rest(shared, container, &cause).await;
    }
}

/// Connects to the monitor of a container that was started earlier, and follows it. One that says
/// nothing for long is killed, and its successor looked for.
///
/// # Errors
/// When there is no monitor, or neither says anything.
pub(super) async fn adopt(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    if try_adopt(shared, container).await? {
        return Ok(());
    }
    tracing::warn!(container = container.id, "its monitor does not react and is killed");
    let id = container.id.clone();
    let killed = shared.rooms.blocking("kill a monitor", move |rooms| {
        if let Ok(Some(pid)) = client::monitor_of(&rooms.store.layout().container_run_dir(&id)) {
            stop::kill_monitor(pid, &id);
        }
        Ok(())
    });
    drop(killed.await);
    // It has to die first.
    for _ in 0..6 * ATTEMPTS {
        tokio::time::sleep(PAUSE).await;
        if matches!(try_adopt(shared, container).await, Ok(true)) {
            return Ok(());
        }
    }
    Err(Error::Conflict(format!("the monitor of {} says nothing", container.id)))
}

/// Whether its monitor has said in time how it is.
async fn try_adopt(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<bool> {
    let run_directory = shared.rooms.store.layout().container_run_dir(&container.id);
    let control = shared
        .rooms
        .blocking("adopt a container", move |_| {
            Control::connect(&run_directory).map_err(|error| {
                rooms::monitor(
                    "connect to the monitor of",
                    &run_directory.display().to_string(),
                    error,
                )
            })
        })
        .await?;
    let events = control
        .events()
        .map_err(|error| rooms::monitor("listen to the monitor of", &container.id, error))?;
    let mut frames = Frames::new(events)?;
    let Ok(event) = tokio::time::timeout(PATIENCE, frames.event()).await else {
        return Ok(false);
    };
    let Some(Event::Snapshot(snapshot)) = event? else {
        return Err(Error::Conflict(format!("the monitor of {} says nothing", container.id)));
    };
    take_over(shared, container, control, &snapshot);
    match snapshot.exit {
        Some(exit) => end::ended(shared, container, &exit).await,
        None => shared.spawn(follow(Arc::clone(shared), Arc::clone(container), frames)),
    }
    Ok(true)
}

fn take_over(shared: &Shared, container: &Container, control: Control, snapshot: &Snapshot) {
    let control = Arc::new(control);
    let running: Vec<&str> = snapshot.execs.iter().map(|(exec, _)| exec.as_str()).collect();
    shared.execs.cut(&container.id, &running);
    for (exec, pid) in &snapshot.execs {
        shared.execs.adopt(exec, &container.id, *pid);
    }
    container.change(|state| {
        if let Some(live) = &mut state.live {
            live.control = control;
            live.monitor = snapshot.started.as_ref().map_or(0, |started| started.monitor);
            live.pid = snapshot.started.as_ref().map_or(live.pid, |started| started.pid);
            return;
        }
        let started = snapshot.started.as_ref();
        state.record.running = true;
        state.record.was_started = true;
        state.status =
            if state.paused_before { crate::Status::Paused } else { crate::Status::Running };
        state.live = Some(super::entry::Live {
            control,
            launcher: None,
            pid: started.map_or(0, |started| started.pid),
            monitor: started.map_or(0, |started| started.monitor),
            since: started.map_or_else(Instant::now, |started| birth_of(started.pid)),
            endpoint: state.endpoint_before.take(),
        });
        if let Some(started) = started {
            state.record.last.started_at = Some(end::timestamp(started.at));
            state.record.last.finished_at = None;
        }
    });
    container.has_another_monitor();
}

/// When a process was born, which the wall clock may have forgotten; now when it has ended.
fn birth_of(pid: u32) -> Instant {
    let age = i32::try_from(pid).ok().and_then(runtime::state::age);
    age.and_then(|age| Instant::now().checked_sub(age)).unwrap_or_else(Instant::now)
}

/// The end of a container of which nobody saw how it ended.
pub(super) fn unseen_exit(at: u64, warning: String) -> Exit {
    Exit { code: 137, signal: Some(9), oom_killed: false, at, warnings: vec![warning] }
}
