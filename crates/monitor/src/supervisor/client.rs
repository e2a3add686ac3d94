//! Attached clients: output to them, input from them.

use std::os::fd::{AsFd, OwnedFd};

use linux::event::Interest;
use linux::socket;
use rustix::io::Errno;

use super::key::Key;
use super::{PIECE, Supervisor};
use crate::protocol::{AttachStreams, WhenSlow};
use crate::record::Note;

/// How far a client may be behind, in bytes.
const MOST_BEHIND: usize = 1 << 20;

/// Bytes of the header before each piece of output that is not a terminal's.
pub(super) const HEADER: usize = 8;

/// One attached client.
#[derive(Debug)]
pub(super) struct Client {
    /// The process whose streams it wants.
    pub(super) process: u32,
    socket: OwnedFd,
    streams: AttachStreams,
    unsent: Vec<u8>,
    /// It may still send input.
    has_input: bool,
    /// Nothing more will be put into `unsent`.
    is_ending: bool,
    is_broken: bool,
    interest: Interest,
}

impl Client {
    /// Sends output, or keeps what the socket does not take now.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() && !self.is_broken {
            match socket::send_some(self.socket.as_fd(), rest, &[]) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.is_broken = true,
            }
        }
        self.unsent.extend_from_slice(rest);
        self.is_broken |= self.is_behind() && self.streams.when_slow == WhenSlow::Drop;
    }

    fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.unsent.len() && !self.is_broken {
            match socket::send_some(self.socket.as_fd(), &self.unsent[sent..], &[]) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.is_broken = true,
            }
        }
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
    }

    fn is_behind(&self) -> bool {
        self.unsent.len() >= MOST_BEHIND
    }

    fn is_done(&self) -> bool {
        self.is_broken || (self.is_ending && self.unsent.is_empty())
    }
}

impl Supervisor {
    /// Takes a new client for a process.
    pub(super) fn attach(&mut self, process: u32, socket: OwnedFd, streams: AttachStreams) {
        let can_input =
            self.processes.get(&process).is_some_and(|process| process.input.fd.is_some());
        let client = Client {
            process,
            socket,
            streams,
            unsent: Vec::new(),
            has_input: streams.stdin && can_input,
            is_ending: false,
            is_broken: false,
            interest: Interest::empty(),
        };
        let number = self.next_number();
        if rustix::io::ioctl_fionbio(&client.socket, true).is_ok()
            && self.wait_for(client.socket.as_fd(), Key::Client(number), Interest::empty())
        {
            self.clients.insert(number, client);
            self.update_client(number);
        }
    }

    /// Passes the first `count` bytes after the header in the scratch buffer on to all clients.
    pub(super) fn broadcast(&mut self, process: u32, stream: usize, count: usize) {
        let has_terminal = self.processes.get(&process).is_some_and(|process| process.has_terminal);
        let length = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        let kind = if stream == 0 { 1 } else { 2 };
        self.scratch[..4].copy_from_slice(&[kind, 0, 0, 0]);
        self.scratch[4..HEADER].copy_from_slice(&length);
        let from = if has_terminal { HEADER } else { 0 };
        let mut touched = Vec::new();
        for (number, client) in &mut self.clients {
            let wanted = if stream == 0 { client.streams.stdout } else { client.streams.stderr };
            if client.process == process && wanted && !client.is_ending {
                client.send(&self.scratch[from..HEADER + count]);
                touched.push(*number);
            }
        }
        for number in touched {
            self.update_client(number);
        }
    }

    /// Whether a client that must not lose anything is too far behind.
    pub(super) fn is_held_up(&self, process: u32) -> bool {
        self.clients.values().any(|client| {
            client.process == process
                && client.is_behind()
                && client.streams.when_slow == WhenSlow::Wait
        })
    }

    /// The process has ended: its clients get what is left, then the end.
    pub(super) fn end_clients(&mut self, process: u32) {
        let ours = self.clients.iter_mut().filter(|(_, client)| client.process == process);
        let numbers: Vec<u32> = ours
            .map(|(number, client)| {
                client.is_ending = true;
                *number
            })
            .collect();
        for number in numbers {
            self.update_client(number);
        }
    }

    /// Something happened on a client's socket.
    pub(super) fn on_client(&mut self, number: u32, interest: Interest) {
        let has_gone = interest.intersects(Interest::HUP | Interest::ERR);
        if interest.intersects(Interest::IN) || has_gone {
            self.read_client(number, has_gone);
        }
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.flush();
        client.is_broken |= has_gone;
        self.update_client(number);
    }

    /// Takes input; everything that is left when the client has gone.
    fn read_client(&mut self, number: u32, has_gone: bool) {
        loop {
            let Some(client) = self.clients.get_mut(&number) else { return };
            if !client.has_input {
                return;
            }
            let process = client.process;
            match rustix::io::read(&client.socket, &mut self.scratch[..PIECE]) {
                Ok(count) if count > 0 => {
                    if let Some(process) = self.processes.get_mut(&process) {
                        process.input.pending.extend_from_slice(&self.scratch[..count]);
                    }
                    self.flush_input(process);
                    if !has_gone {
                        return;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) if !has_gone => return,
                _ => {
                    client.has_input = false;
                    self.end_input_of_client(process);
                    return;
                }
            }
        }
    }

    /// A client's input has ended: so does the process's, unless it stays open for the next client
    /// or is a terminal, which has no such thing.
    fn end_input_of_client(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let is_once = process.input.is_once || process.exec.is_some();
        if is_once && !process.has_terminal {
            process.input.is_ending = true;
            self.flush_input(number);
        }
    }

    /// Gives pending input to a process, and ends the input if that is wanted.
    pub(super) fn flush_input(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        let input = &mut process.input;
        let Some(fd) = &input.fd else {
            input.pending = Vec::new();
            return;
        };
        let mut written = 0;
        let mut is_refused = false;
        while written < input.pending.len() && !is_refused {
            match rustix::io::write(fd, &input.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => is_refused = true,
            }
        }
        input.pending.drain(..written);
        let is_empty = input.pending.is_empty();
        if is_refused || (is_empty && input.is_ending) {
            self.close_input(number);
        } else if is_empty {
            input.pending = Vec::new();
            if input.is_watched {
                input.is_watched = false;
                self.epoll.remove(fd.as_fd());
            }
        } else if !input.is_watched {
            let key = Key::Input(number).encode();
            input.is_watched = self.epoll.add(fd.as_fd(), key, Interest::OUT).is_ok();
        }
        self.update_clients_of(number);
    }

    /// Ends a process's input; what is pending is lost.
    pub(super) fn close_input(&mut self, number: u32) {
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.input.pending = Vec::new();
        let Some(fd) = process.input.fd.take() else { return };
        if process.input.is_watched {
            self.epoll.remove(fd.as_fd());
        }
        if process.exec.is_none() && !process.has_terminal {
            self.launcher.send(&Note::StdinClosed);
        }
    }

    fn update_clients_of(&mut self, process: u32) {
        let ours = self.clients.iter().filter(|(_, client)| client.process == process);
        let numbers: Vec<u32> = ours.map(|(number, _)| *number).collect();
        for number in numbers {
            self.update_client(number);
        }
    }

    /// Waits for what a client is now wanted for, or lets it go.
    pub(super) fn update_client(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.is_done() {
            let Some(client) = self.clients.remove(&number) else { return };
            self.epoll.remove(client.socket.as_fd());
            if client.has_input {
                self.end_input_of_client(client.process);
            }
            self.resume(client.process);
            return;
        }
        let input = self.processes.get(&client.process).map(|process| &process.input);
        let takes_input = input.is_some_and(|input| input.fd.is_some() && input.pending.is_empty());
        let mut interest = Interest::empty();
        interest.set(Interest::IN, client.has_input && takes_input);
        interest.set(Interest::OUT, !client.unsent.is_empty());
        if interest != client.interest {
            let key = Key::Client(number).encode();
            let changed = self.epoll.modify(client.socket.as_fd(), key, interest);
            client.is_broken |= changed.is_err();
            client.interest = interest;
        }
        let process = client.process;
        if client.unsent.len() < MOST_BEHIND / 2 {
            self.resume(process);
        }
    }
}
