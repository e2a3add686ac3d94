//! One container in memory.
//!
//! Its state is behind a short lock of the standard library, held only inside [`Container::read`]
//! and [`Container::change`]; its verbs take turns by [`Container::operation`]; who waits for it
//! watches its [`Phase`].

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use monitor::client::{Control, Launcher};
use monitor::protocol::AttachStreams;
use network::EndpointRecord;
use tokio::sync::watch;

use crate::container::record::{LiveRecord, Record, RunTime};
use crate::container::restart::BackOff;
use crate::container::{StateView, Status, TerminalSize};
use crate::error::Result;
use crate::rooms::Rooms;

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Held by the verb that changes it.
    pub(crate) operation: tokio::sync::Mutex<()>,
    /// Held while its records are written, so that none is written after they were deleted.
    pen: Mutex<()>,
    state: Mutex<State>,
    phase: watch::Sender<Phase>,
}

/// What changes about a container.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) status: Status,
    pub(crate) live: Option<Live>,
    /// What another daemon must know of a start under way.
    pub(crate) launching: Option<LiveRecord>,
    pub(crate) back_off: BackOff,
    /// Clients that attached before the start: the monitor's ends.
    pub(crate) waiting_clients: Vec<(AttachStreams, OwnedFd)>,
    /// The terminal's size asked for last.
    pub(crate) size: Option<TerminalSize>,
    /// Whether the end of the present run was asked for.
    pub(crate) ending_by_hand: bool,
    /// Whether a restart by hand is under way, so that the end is not the container's end.
    pub(crate) restarting_by_hand: bool,
    /// What an earlier daemon left, until the monitor is found.
    pub(crate) endpoint_before: Option<EndpointRecord>,
    /// Whether it was frozen then.
    pub(crate) paused_before: bool,
}

/// A container that runs.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// The connection to its monitor; replaced when another monitor takes over.
    pub(crate) control: Arc<Control>,
    /// The launcher that watches the monitor; `None` when that was started by an earlier daemon.
    pub(crate) launcher: Option<Arc<Launcher>>,
    /// Its first process on the host.
    pub(crate) pid: u32,
    /// Its monitor; 0 when that does not say.
    pub(crate) monitor: u32,
    /// When it was started.
    pub(crate) since: Instant,
    /// Its attachment to a network.
    pub(crate) endpoint: Option<EndpointRecord>,
}

/// What those who wait for a container look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Whether it runs, is frozen or will be started again.
    pub(crate) active: bool,
    /// Whether a process of it exists.
    pub(crate) alive: bool,
    /// How often it has ended (or failed to start).
    pub(crate) ends: u64,
    /// Its last exit status.
    pub(crate) exit_code: i32,
    /// Why the last start failed.
    pub(crate) error: Option<String>,
    /// Whether it has been removed.
    pub(crate) removed: bool,
    /// How often another monitor has taken over: what was told to the one before may be lost.
    pub(crate) monitors: u64,
}

impl Phase {
    /// Becomes what the state is now.
    fn follow(&mut self, status: Status, exit_code: i32) {
        let was_alive = self.alive;
        self.alive = status.is_alive();
        self.active = self.alive || status == Status::Restarting;
        self.exit_code = exit_code;
        if was_alive && !self.alive {
            self.ends += 1;
        }
        if self.alive {
            // What was wrong with an earlier start is not wrong with this run.
            self.error = None;
        }
    }
}

impl Container {
    pub(crate) fn new(record: Record, status: Status) -> Self {
        let phase = Phase { exit_code: record.last.exit_code, ..Phase::default() };
        Self {
            id: record.id.clone(),
            operation: tokio::sync::Mutex::new(()),
            pen: Mutex::new(()),
            state: Mutex::new(State {
                record,
                status,
                live: None,
                launching: None,
                back_off: BackOff::default(),
                waiting_clients: Vec::new(),
                size: None,
                ending_by_hand: false,
                restarting_by_hand: false,
                endpoint_before: None,
                paused_before: false,
            }),
            phase: watch::Sender::new(phase),
        }
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state, and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.change_and_tell(change, |_| ())
    }

    /// Changes the state because a start failed, and tells those who wait both at once.
    pub(crate) fn failed_to_start<T>(
        &self,
        error: &str,
        change: impl FnOnce(&mut State) -> T,
    ) -> T {
        self.change_and_tell(change, |phase| {
            phase.ends += 1;
            phase.error = Some(error.to_owned());
        })
    }

    fn change_and_tell<T>(
        &self,
        change: impl FnOnce(&mut State) -> T,
        tell: impl FnOnce(&mut Phase),
    ) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let (status, exit_code) = (state.status, state.record.last.exit_code);
        drop(state);
        self.phase.send_if_modified(|phase| {
            let before = phase.clone();
            phase.follow(status, exit_code);
            tell(phase);
            *phase != before
        });
        result
    }

    /// Tells those who wait that another monitor has taken over.
    pub(crate) fn has_another_monitor(&self) {
        self.phase.send_modify(|phase| phase.monitors += 1);
    }

    /// Tells those who wait that it is gone.
    pub(crate) fn gone(&self) {
        self.phase.send_modify(|phase| {
            phase.removed = true;
            phase.alive = false;
            phase.active = false;
        });
    }

    /// Remembers it as it is now, unless it is being removed: durably, or in the run directory when
    /// it is removed at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, rooms: &Rooms) -> Result<()> {
        self.write(|record, run_time| rooms.save(record, run_time))
    }

    /// Remembers what lives of it now, unless it is being removed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save_run_time(&self, rooms: &Rooms) -> Result<()> {
        self.write(|record, run_time| rooms.save_run_time(record, run_time))
    }

    fn write(&self, write: impl FnOnce(&Record, &RunTime) -> Result<()>) -> Result<()> {
        let _pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.status(), Status::Removing | Status::Dead) {
            return Ok(());
        }
        let (record, run_time) = self.read(|state| (state.record.clone(), state.run_time()));
        write(&record, &run_time)
    }

    /// Forgets it; its status is `Removing` already, so that nothing is written afterwards.
    ///
    /// # Errors
    /// When its records cannot be deleted.
    pub(crate) fn forget(&self, rooms: &Rooms) -> Result<()> {
        let _pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.forget(&self.id, self.read(|state| state.record.spec.host.auto_remove))
    }

    /// Watches it.
    pub(crate) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.read(|state| state.record.name.clone())
    }

    /// Its state.
    pub(crate) fn status(&self) -> Status {
        self.read(|state| state.status)
    }

    /// The connection to its monitor and its first process, while it runs.
    pub(crate) fn live(&self) -> Option<Live> {
        self.read(|state| state.live.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What is shown of the state.
    pub(crate) fn view(&self) -> StateView {
        let last = &self.record.last;
        StateView {
            status: self.status,
            pid: self.live.as_ref().map_or(0, |live| live.pid),
            exit_code: last.exit_code,
            error: last.error.clone(),
            oom_killed: last.oom_killed,
            started_at: last.started_at,
            finished_at: last.finished_at,
        }
    }

    /// What is to be found again by another daemon.
    pub(crate) fn run_time(&self) -> RunTime {
        let live = self.live.as_ref().map(|live| LiveRecord {
            endpoint: live.endpoint.clone(),
            ending_by_hand: self.ending_by_hand,
            paused: self.status == Status::Paused,
        });
        RunTime { record: None, live: live.or_else(|| self.launching.clone()) }
    }

    /// The host name inside.
    pub(crate) fn hostname(&self) -> String {
        match &self.record.spec.hostname {
            Some(name) if !name.is_empty() => name.clone(),
            _ => short_id(&self.record.id).to_owned(),
        }
    }
}

/// The first twelve digits.
pub(crate) fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
