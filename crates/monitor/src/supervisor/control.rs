//! Commands of the engine, and what it is told.

use std::os::fd::{AsFd, OwnedFd};

use linux::event::Interest;
use linux::socket;

use super::key::Key;
use super::process::{Ended, resize};
use super::{MAIN, Supervisor, now};
use crate::Error;
use crate::link::{Link, parse};
use crate::protocol::{Command, Event, Failure, Size, Snapshot, VERSION};
use crate::record::Word;

impl Supervisor {
    /// Takes a control connection.
    pub(crate) fn add_control(&mut self, socket: OwnedFd) -> u32 {
        let number = self.next_number();
        let link = Link::new(socket);
        if self.wait_for(link.as_fd(), Key::Control(number), Interest::IN) {
            self.controls.insert(number, link);
        }
        number
    }

    /// Tells one connection something.
    pub(crate) fn tell_one(&mut self, number: u32, event: &Event) {
        if let Some(control) = self.controls.get_mut(&number) {
            control.send(event);
            self.update_control(number);
        }
    }

    /// Somebody connects to the control socket: only our own user may.
    pub(super) fn on_listener(&mut self) {
        loop {
            let Some(listener) = &self.listener else { return };
            let connection = match socket::accept(listener.as_fd()) {
                Ok(Some(connection)) => connection,
                Ok(None) => return,
                Err(_) => {
                    // It would be ready again and again.
                    self.epoll.remove(listener.as_fd());
                    self.is_listener_resting = true;
                    return;
                }
            };
            let ours = rustix::process::geteuid().as_raw();
            if socket::peer(connection.as_fd()).is_ok_and(|peer| peer.uid == ours) {
                let number = self.add_control(connection);
                let snapshot = Event::Snapshot(self.snapshot());
                self.tell_one(number, &snapshot);
                return;
            }
        }
    }

    /// Whether somebody waits to be taken whom there is no descriptor for.
    pub(super) fn takes_none(&self) -> bool {
        self.is_listener_resting || self.splicer.could_take_more()
    }

    /// Tries again to take those who connect.
    pub(super) fn take_again(&mut self) {
        self.splicer.resume(&self.epoll);
        if let Some(listener) = self.listener.as_ref().filter(|_| self.is_listener_resting) {
            let key = Key::Listener.encode();
            self.is_listener_resting = self.epoll.add(listener.as_fd(), key, Interest::IN).is_err();
        }
    }

    fn snapshot(&self) -> Snapshot {
        let pid_of = |process: &super::Process| {
            let pid = process.pidfd.pid().as_raw_nonzero().get().cast_unsigned();
            process.exec.clone().map(|exec| (exec, pid))
        };
        Snapshot {
            version: VERSION,
            id: self.record.id.clone(),
            started: self.record.started.clone(),
            exit: self.exit.clone(),
            execs: self.processes.values().filter_map(pid_of).collect(),
            log_bytes_lost: self.log.as_ref().map_or(0, observe::log::Writer::lost),
        }
    }

    /// Something happened on a control connection.
    pub(super) fn on_control(&mut self, number: u32) {
        let Some(control) = self.controls.get_mut(&number) else { return };
        control.flush();
        control.receive();
        while let Some(frame) = self.controls.get_mut(&number).and_then(Link::next_frame) {
            let name = command_name(&frame);
            let (exec, result) = match parse::<Command>(&frame) {
                Ok(command) => (exec_of(&command), self.obey(number, command)),
                Err(source) => {
                    let peer = "a control connection".to_owned();
                    (None, Err(Error::Message { peer, source }))
                }
            };
            if let Err(error) = result {
                let event = Event::Refused { command: name, exec, failure: failure(&error) };
                self.tell_one(number, &event);
            }
        }
        self.update_control(number);
    }

    fn obey(&mut self, number: u32, command: Command) -> Result<(), Error> {
        match command {
            Command::Exec(exec) => {
                let attach = match exec.attach {
                    Some(_) => Some(self.take_fd(number)?),
                    None => None,
                };
                self.exec(*exec, attach);
                Ok(())
            }
            Command::Attach { exec, streams } => {
                let socket = self.take_fd(number)?;
                let process = self.number_of(exec.as_deref())?;
                self.attach(process, socket, streams);
                Ok(())
            }
            Command::Resize { exec, size } => self.resize(exec.as_deref(), size),
            Command::Signal { exec, signal } => {
                let process = self.number_of(exec.as_deref())?;
                match self.processes.get(&process) {
                    Some(process) => Ok(process.pidfd.signal(signal)?),
                    None => Ok(()),
                }
            }
            Command::CloseStdin => {
                if let Some(process) = self.processes.get_mut(&MAIN) {
                    process.input.is_ending = true;
                }
                self.flush_input(MAIN);
                Ok(())
            }
            Command::RotateLog => {
                if let Some(log) = &mut self.log {
                    log.rotate();
                }
                self.start_compression();
                Ok(())
            }
            Command::Release => {
                if self.exit.is_some() {
                    self.is_released = true;
                } else {
                    self.remove_control(number);
                }
                Ok(())
            }
        }
    }

    fn resize(&self, exec: Option<&str>, size: Size) -> Result<(), Error> {
        let number = self.number_of(exec)?;
        match self.processes.get(&number).and_then(super::Process::terminal) {
            Some(terminal) => Ok(resize(terminal, size)?),
            None => Err(Error::Impossible("the process has no terminal")),
        }
    }

    /// The process of this exec id, or the main one, while it runs.
    fn number_of(&self, exec: Option<&str>) -> Result<u32, Error> {
        let mut all = self.processes.iter();
        match (all.find(|(_, process)| process.exec.as_deref() == exec), exec) {
            (Some((number, _)), _) => Ok(*number),
            (None, Some(exec)) => Err(Error::NoExec(exec.to_owned())),
            (None, None) => Err(Error::Impossible("the container has ended")),
        }
    }

    fn take_fd(&mut self, number: u32) -> Result<OwnedFd, Error> {
        let fds = self.controls.get_mut(&number).and_then(|control| control.take_fds(1));
        fds.and_then(|mut fds| fds.pop()).ok_or(Error::Impossible("no socket was sent along"))
    }

    /// Waits for what a connection is now wanted for, or lets it go.
    pub(super) fn update_control(&mut self, number: u32) {
        let Some(control) = self.controls.get(&number) else { return };
        if control.is_broken() {
            self.remove_control(number);
            return;
        }
        let mut interest = Interest::IN;
        interest.set(Interest::OUT, control.has_unsent());
        if self.epoll.modify(control.as_fd(), Key::Control(number).encode(), interest).is_err() {
            self.remove_control(number);
        }
    }

    fn remove_control(&mut self, number: u32) {
        if let Some(control) = self.controls.remove(&number) {
            self.epoll.remove(control.as_fd());
        }
    }

    /// The launcher says something, or is gone.
    pub(super) fn on_launcher(&mut self) {
        let is_open = self.launcher.receive();
        while let Some(frame) = self.launcher.next_frame() {
            match parse::<Word>(&frame) {
                Ok(Word::Reaped { code, signal }) => {
                    self.end_process(MAIN, Ended { code, signal }, now());
                }
                Ok(Word::Dropped) | Err(_) => {}
            }
        }
        if !is_open {
            self.epoll.remove(self.launcher.as_fd());
            self.is_orphaned();
        }
    }
}

/// The name of a command that may not be understood otherwise.
fn command_name(frame: &[u8]) -> String {
    match serde_json::from_slice(frame) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(members)) => {
            members.into_iter().next().map(|(name, _)| name).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn exec_of(command: &Command) -> Option<String> {
    match command {
        Command::Attach { exec, .. }
        | Command::Resize { exec, .. }
        | Command::Signal { exec, .. } => exec.clone(),
        _ => None,
    }
}

/// An error as the engine is told it.
pub(crate) fn failure(error: &Error) -> Failure {
    let exit_code = match error {
        Error::Runtime(error) => i32::from(error.exit_code()),
        _ => 125,
    };
    Failure { message: stdx::chain(error), kind: error.kind(), exit_code, hint: None }
}
