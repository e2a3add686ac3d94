//! How processes, the container and the monitor end.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use linux::event::{Interest, TimerFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stdx::fs::{Durability, write_atomic};

use super::key::Key;
use super::output::Took;
use super::process::Ended;
use super::{MAIN, Supervisor, now};
use crate::link::parse;
use crate::protocol::{EXIT_FILE, Event, Exit, SOCKET_FILE};
use crate::record::{Note, Record, Word, file};

/// How long a terminal may take to give its last output and end, once its process has ended. It
/// does so at once unless another process has it open, too.
const TERMINAL_PATIENCE: Duration = Duration::from_millis(500);

/// How long the launcher may take to close its copies of held ports.
const LAUNCHER_PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

impl Supervisor {
    /// A process of ours has ended.
    pub(super) fn on_exit(&mut self, number: u32) {
        let Some(process) = self.processes.get(&number) else { return };
        match process.pidfd.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => self.end_process(number, status.into(), now()),
            // No child of ours: its monitor, then its launcher were killed. The kernel may know.
            Err(_) => {
                let status = linux::exit_record::read(&process.pidfd);
                let unknown = Ended { code: 255, signal: None };
                let ended = status.map_or(unknown, Ended::from);
                self.end_process(number, ended, now());
            }
        }
    }

    /// Notes how a process ended and takes the rest of its output. A pipe has everything in it that
    /// was written; a terminal may need a moment to pass it on.
    pub(super) fn end_process(&mut self, number: u32, ended: Ended, at: u64) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if process.ended.is_some() {
            return;
        }
        process.ended = Some((ended, at));
        self.epoll.remove(process.pidfd.as_fd());
        if number == MAIN && !self.record.has_pid_namespace {
            self.kill_rest();
        }
        self.close_input(number);
        self.drain(number);
    }

    /// Without a pid namespace of its own a container ends only when its other processes are told.
    fn kill_rest(&mut self) {
        if let Some(group) = &self.group {
            drop(group.kill());
        }
    }

    fn drain(&mut self, number: u32) {
        for stream in 0..2 {
            let mut took = Took::Some;
            while took == Took::Some {
                took = self.take_output(number, stream);
            }
            let has_terminal =
                self.processes.get(&number).is_some_and(|process| process.has_terminal);
            if took == Took::Nothing && has_terminal {
                self.resume_for_the_end(number);
                self.set_deadline();
            } else {
                self.close_output(number, stream);
            }
        }
    }

    /// A paused terminal is listened to again: its end must be seen.
    fn resume_for_the_end(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        if !std::mem::take(&mut process.is_paused) {
            return;
        }
        if let Some(output) = &process.outputs[0] {
            let key = Key::Output(number, 0).encode();
            drop(self.epoll.add(output.as_fd(), key, Interest::IN));
        }
    }

    fn set_deadline(&mut self) {
        if self.deadline.is_none() {
            self.deadline = TimerFd::new().ok();
            if let Some(timer) = &self.deadline {
                drop(self.epoll.add(timer.as_fd(), Key::Deadline.encode(), Interest::IN));
            }
        }
        if let Some(timer) = &self.deadline {
            drop(timer.set(Some(TERMINAL_PATIENCE)));
        }
    }

    /// Terminals that did not end in time are given up.
    pub(super) fn on_deadline(&mut self) {
        if let Some(timer) = &self.deadline {
            _ = timer.take();
        }
        let ended = self.processes.iter().filter(|(_, process)| process.ended.is_some());
        let numbers: Vec<u32> = ended.map(|(number, _)| *number).collect();
        for number in numbers {
            while self.take_output(number, 0) == Took::Some {}
            self.close_output(number, 0);
        }
    }

    /// Memory ran out.
    pub(super) fn on_oom(&mut self) {
        if let Some(oom) = &mut self.oom {
            let kills = oom.kills();
            self.count_kills(kills);
        }
    }

    fn count_kills(&mut self, kills: u64) {
        if kills > self.oom_kills {
            self.oom_kills = kills;
            self.tell(&Event::OutOfMemory);
        }
    }

    /// Reports what is over: execs first, they are over before the container is.
    pub(super) fn settle(&mut self) {
        let over = self.processes.iter().filter(|(_, process)| process.is_over());
        let mut numbers: Vec<u32> = over.map(|(number, _)| *number).collect();
        numbers.reverse();
        for number in numbers {
            let Some(process) = self.processes.remove(&number) else { continue };
            let Some((ended, at)) = process.ended else { continue };
            self.end_clients(number);
            match process.exec {
                Some(id) => {
                    let exit = self.exit_of(ended, at);
                    self.tell(&Event::ExecExited { id, exit });
                }
                None => self.finish(ended, at),
            }
        }
    }

    fn exit_of(&mut self, ended: Ended, at: u64) -> Exit {
        // The event may come before the kill, and after it the exit: what counts is the counter.
        if let Some(oom) = &mut self.oom {
            let kills = oom.count();
            self.count_kills(kills);
        }
        Exit {
            code: ended.code,
            signal: ended.signal,
            oom_killed: self.oom_kills > 0,
            at,
            warnings: Vec::new(),
        }
    }

    /// The container has ended: takes away what was made for it, then says so.
    fn finish(&mut self, ended: Ended, at: u64) {
        let mut exit = self.exit_of(ended, at);
        self.fail_all_execs();
        if let Some(oom) = self.oom.take() {
            self.epoll.remove(oom.as_fd());
        }
        if let Some(group) = self.group.take()
            && let Err(error) = group.delete()
        {
            exit.warnings.push(stdx::chain(&error));
        }
        let lost = self.log.as_ref().map_or(0, observe::log::Writer::lost);
        if lost > 0 {
            exit.warnings.push(format!("{lost} bytes of output are missing in the log"));
        }
        self.let_ports_go();
        match write_exit(&self.record.run_directory, &exit) {
            Ok(()) => self.close_door(),
            Err(error) => exit.warnings.push(stdx::chain(&error)),
        }
        self.exit = Some(exit.clone());
        self.tell(&Event::Exited(exit));
        self.root = None;
    }

    /// From now on the exit file says all. Whoever hears of the exit may start the container again at
    /// once, in the same directory, where this monitor must not touch anything any more: it may live
    /// on for slow clients.
    fn close_door(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.epoll.remove(listener.as_fd());
            self.is_listener_resting = false;
        }
        clear_door(&self.record.run_directory);
    }

    /// Closes the held ports, here and at the launcher, so that they are free when the exit is
    /// told.
    pub(super) fn let_ports_go(&mut self) {
        let had_ports = !self.held.is_empty() || !self.splicer.is_empty();
        self.held = Vec::new();
        self.splicer.close(&self.epoll);
        self.launcher.send(&Note::Ended);
        while had_ports && !self.launcher.is_broken() {
            let mut waiting = [PollFd::new(&self.launcher, PollFlags::IN)];
            if !matches!(poll(&mut waiting, Some(&LAUNCHER_PATIENCE)), Ok(count) if count > 0) {
                return;
            }
            self.launcher.receive();
            while let Some(frame) = self.launcher.next_frame() {
                if matches!(parse(&frame), Ok(Word::Dropped)) {
                    return;
                }
            }
        }
    }

    /// The launcher is gone. An adopted container's exit status was to come from it: from now on
    /// the pidfd itself is waited for.
    pub(super) fn is_orphaned(&mut self) {
        if !std::mem::take(&mut self.is_adopted) {
            return;
        }
        if let Some(process) = self.processes.get(&MAIN) {
            drop(self.epoll.add(process.pidfd.as_fd(), Key::Exit(MAIN).encode(), Interest::IN));
        }
    }

    /// Whether nobody needs this monitor any more.
    pub(super) fn is_finished(&self) -> bool {
        self.exit.is_some()
            && self.clients.is_empty()
            && self.compression.is_none()
            && (self.is_released || self.controls.is_empty())
    }
}

/// Removes what leads to a monitor and what another one would need to take over. To be called only
/// while no later monitor of the container can have begun.
pub(crate) fn clear_door(run_directory: &Path) {
    drop(std::fs::remove_file(run_directory.join(SOCKET_FILE)));
    Record::remove(run_directory);
}

/// Writes how the container ended.
pub(crate) fn write_exit(run_directory: &Path, exit: &Exit) -> Result<(), crate::Error> {
    let path = run_directory.join(EXIT_FILE);
    serde_json::to_vec(exit)
        .map_err(std::io::Error::from)
        .and_then(|bytes| write_atomic(&path, &bytes, Durability::Volatile))
        .map_err(|source| file("write", &path, source))
}
