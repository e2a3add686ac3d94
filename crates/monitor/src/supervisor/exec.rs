//! More processes in the running container.
//!
//! ```text
//! Exec ──▶ on its way (channel, go-between, deadline) ──▶ at the gate ──▶ running: a Process
//!              └── failed, late, or the container ended ──▶ killed ──▶ reaped whenever it ends
//! ```
//! Whoever is in the container can stop a process that enters it, and its file systems may hang: so
//! nothing here waits for one, neither for what it says nor for its end after it was killed.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use linux::event::{Interest, TimerFd};
use linux::process::PidFd;
use runtime::{Confinement, Progress, Starting};

use super::control::failure;
use super::key::Key;
use super::process::{Ends, Process};
use super::{MAIN, Supervisor};
use crate::Error;
use crate::birth::as_of_nobody;
use crate::protocol::{Event, Exec};
use crate::record::Record;

/// How long the set-up of a process may take; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// An exec on its way.
#[derive(Debug)]
pub(super) struct Entering {
    exec: Exec,
    attach: Option<OwnedFd>,
    ends: Ends,
    starting: Starting,
    deadline: TimerFd,
}

impl Supervisor {
    /// Begins an exec, or tells why it cannot be started.
    pub(super) fn exec(&mut self, exec: Exec, attach: Option<OwnedFd>) {
        let id = exec.id.clone();
        if let Err(error) = self.begin_exec(exec, attach) {
            self.tell_failure(id, &error);
        }
    }

    fn begin_exec(&mut self, mut exec: Exec, attach: Option<OwnedFd>) -> Result<(), Error> {
        let Some(main) = self.processes.get(&MAIN).filter(|main| main.ended.is_none()) else {
            return Err(Error::Impossible("the container has ended"));
        };
        let Record { seccomp, landlock, .. } = Record::read(&self.record.run_directory)?;
        let deadline = TimerFd::new()?;
        deadline.set(Some(PATIENCE))?;
        as_of_nobody(&mut exec.process);
        let user = &exec.process.user;
        let prepare = |errno| linux::Error::new("prepare", "the streams of an exec", errno);
        let (ends, stdio) = match exec.process.terminal {
            true => (Ends::default(), runtime::Stdio::Terminal),
            false => Ends::pipes(exec.stdin, (user.uid, user.gid)).map_err(prepare)?,
        };
        let request = runtime::ExecRequest {
            state: None,
            id: &self.record.id,
            target: &main.pidfd,
            process: &exec.process,
            confinement: Confinement {
                seccomp: seccomp.as_ref(),
                landlock: landlock.as_deref(),
                ..Confinement::default()
            },
            stdio,
            cgroup: self.group.as_ref(),
            preserve_descriptors: 0,
            has_own_keyring: true,
        };
        let starting = runtime::begin(&self.token, request)?;
        let number = self.next_number();
        let entering = Entering { exec, attach, ends, starting, deadline };
        let watched = self.watch_entering(number, &entering);
        self.entering.insert(number, entering);
        if watched.is_err() {
            self.give_up(number);
        }
        Ok(watched?)
    }

    fn watch_entering(&self, number: u32, entering: &Entering) -> Result<(), linux::Error> {
        let [channel, go_between] = entering.starting.descriptors();
        self.epoll.add(channel, Key::Entering(number).encode(), Interest::IN)?;
        // Told once: afterwards only the channel counts.
        let once = Interest::IN | Interest::ONESHOT;
        self.epoll.add(go_between, Key::Entering(number).encode(), once)?;
        self.epoll.add(entering.deadline.as_fd(), Key::Late(number).encode(), Interest::IN)
    }

    /// An exec on its way has something to say.
    pub(super) fn on_exec(&mut self, number: u32) {
        let Some(entering) = self.entering.get_mut(&number) else { return };
        let id = entering.exec.id.clone();
        let event = match entering.advance() {
            Ok(false) => return,
            Ok(true) => {
                self.finish_exec(number).map(|pid| Event::ExecStarted { id: id.clone(), pid })
            }
            Err(error) => Err(error),
        };
        match event {
            Ok(event) => self.tell(&event),
            Err(error) => self.fail_exec(number, id, &error),
        }
    }

    /// It has become its program: from now on it is a process like others.
    fn finish_exec(&mut self, number: u32) -> Result<u32, Error> {
        let Some(entering) = self.stop_watching(number) else {
            return Err(Error::Impossible("the exec is gone"));
        };
        let Entering { exec, attach, ends, starting, .. } = entering;
        let (go_between, process) = starting.processes();
        self.reap_later(go_between);
        let Some(process) = process else {
            return Err(Error::Impossible("the process is gone"));
        };
        let pid = process.pid().as_raw_nonzero().get().cast_unsigned();
        if let Err(error) = self.watch(number, Process::new(Some(exec.id), process, ends)) {
            self.unwatch(number);
            return Err(error.into());
        }
        if let (Some(socket), Some(streams)) = (attach, exec.attach) {
            self.attach(number, socket, streams);
        }
        Ok(pid)
    }

    /// An exec is not set up in time.
    pub(super) fn on_late(&mut self, number: u32) {
        let Some(entering) = self.entering.get(&number) else { return };
        let id = entering.exec.id.clone();
        let late = Error::Impossible("the process could not be set up in time and was killed");
        self.fail_exec(number, id, &late);
    }

    /// The container has ended, and what was on its way into it.
    pub(super) fn fail_all_execs(&mut self) {
        while let Some((number, entering)) = self.entering.first_key_value() {
            let (number, id) = (*number, entering.exec.id.clone());
            self.fail_exec(number, id, &Error::Impossible("the container has ended"));
        }
    }

    fn fail_exec(&mut self, number: u32, id: String, error: &Error) {
        self.give_up(number);
        self.tell_failure(id, error);
    }

    fn tell_failure(&mut self, id: String, error: &Error) {
        self.tell(&Event::ExecFailed { id, failure: failure(error) });
    }

    /// Kills what there is of an exec.
    fn give_up(&mut self, number: u32) {
        let Some(entering) = self.stop_watching(number) else { return };
        let (go_between, process) = entering.starting.processes();
        let is_known = process.is_some();
        for process in [Some(go_between), process].into_iter().flatten() {
            drop(process.signal(9));
            self.reap_later(process);
        }
        if !is_known {
            self.end_unknown();
        }
    }

    fn stop_watching(&mut self, number: u32) -> Option<Entering> {
        let entering = self.entering.remove(&number)?;
        let descriptors = entering.starting.descriptors();
        for descriptor in descriptors.into_iter().chain([entering.deadline.as_fd()]) {
            self.epoll.remove(descriptor);
        }
        Some(entering)
    }

    /// Reaps a child at its end, which nobody waits for.
    pub(super) fn reap_later(&mut self, process: PidFd) {
        if !matches!(process.try_wait(), Ok(None)) {
            return;
        }
        let number = self.next_number();
        if self.wait_for(process.as_fd(), Key::Reap(number), Interest::IN) {
            self.dying.insert(number, process);
        }
    }

    /// A child that nobody waits for has ended.
    pub(super) fn on_reap(&mut self, number: u32) {
        let Some(process) = self.dying.get(&number) else { return };
        if !matches!(process.try_wait(), Ok(None)) {
            self.epoll.remove(process.as_fd());
            self.dying.remove(&number);
        }
    }

    /// A go-between may have been killed between making its process and telling of it: a child that
    /// nobody knows, which would keep the container's process-id namespace from ending.
    fn end_unknown(&mut self) {
        let own = std::process::id();
        let path = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let Some(pid) = rustix::process::Pid::from_raw(pid) else { continue };
            if self.knows(pid) {
                continue;
            }
            if let Ok(process) = PidFd::open(pid) {
                drop(process.signal(9));
                self.reap_later(process);
            }
        }
    }

    fn knows(&self, pid: rustix::process::Pid) -> bool {
        let entering = self.entering.values().map(|entering| &entering.starting);
        self.processes.values().any(|process| process.pidfd.pid() == pid)
            || self.dying.values().any(|process| process.pid() == pid)
            || self.compression.as_ref().is_some_and(|(_, child)| child.pid() == pid)
            || entering.flat_map(Starting::known).any(|process| process.pid() == pid)
    }
}

impl Entering {
    /// Whether it has become its program.
    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            match self.starting.advance()? {
                Progress::Pending => return Ok(false),
                Progress::AtGate { terminal } => {
                    if let Some(master) = terminal {
                        self.ends = Ends::terminal(master, self.exec.stdin, self.exec.size)?;
                    }
                    self.starting.open_gate()?;
                }
                Progress::Running => return Ok(true),
            }
        }
    }
}
