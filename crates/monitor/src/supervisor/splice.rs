//! Connections to listeners that the kernel cannot redirect (`::1`): accepted here and spliced to
//! the container's address, both ways, with half-closes passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use linux::event::{Epoll, Interest};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::key::Key;

/// Bytes moved at a time: what a pipe holds.
const PIECE: usize = 64 << 10;

/// Connections at a time; beyond that they wait in the listener's queue.
const MOST: usize = 1024;

/// All listeners and connections.
#[derive(Debug, Default)]
pub(super) struct Splicer {
    listeners: Vec<(OwnedFd, SocketAddr)>,
    /// Listeners that are not waited for now: all connections that there may be are taken, or no
    /// descriptor is left. They would be ready again and again.
    resting: BTreeSet<u32>,
    connections: BTreeMap<u32, Connection>,
    last_number: u32,
}

/// A client's socket and the container's, and the way in each direction.
#[derive(Debug)]
struct Connection {
    ends: [OwnedFd; 2],
    ways: [Way; 2],
}

/// One direction.
#[derive(Debug)]
struct Way {
    reading: OwnedFd,
    writing: OwnedFd,
    /// Bytes in the pipe.
    filled: usize,
    has_ended: bool,
    is_shut: bool,
}

impl Splicer {
    /// Begins to accept connections for `target`.
    pub(super) fn listen(
        &mut self,
        epoll: &Epoll,
        listener: OwnedFd,
        target: SocketAddr,
    ) -> Result<(), linux::Error> {
        rustix::io::ioctl_fionbio(&listener, true)
            .map_err(|errno| linux::Error::new("listen for", target, errno))?;
        let number = u32::try_from(self.listeners.len()).unwrap_or(u32::MAX);
        epoll.add(listener.as_fd(), Key::SpliceListener(number).encode(), Interest::IN)?;
        self.listeners.push((listener, target));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// Closes everything.
    pub(super) fn close(&mut self, epoll: &Epoll) {
        for (listener, _) in self.listeners.drain(..) {
            epoll.remove(listener.as_fd());
        }
        self.resting.clear();
        for connection in std::mem::take(&mut self.connections).into_values() {
            connection.ends.iter().for_each(|end| epoll.remove(end.as_fd()));
        }
    }

    /// Takes waiting connections.
    pub(super) fn accept(&mut self, epoll: &Epoll, number: u32) {
        let Some((listener, target)) = self.listeners.get(number as usize) else { return };
        let (listener, target) = (listener.as_fd(), *target);
        while self.connections.len() < MOST {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let client = match rustix::net::accept_with(listener, flags) {
                Ok(client) => client,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => break,
            };
            let Ok(connection) = Connection::open(client, target) else { continue };
            self.last_number = self.last_number.wrapping_add(1);
            let key = Key::Splice(self.last_number).encode();
            // Edge-triggered: each event moves everything that can be moved.
            let interest = Interest::IN | Interest::OUT | Interest::RDHUP | Interest::ET;
            if connection.ends.iter().all(|end| epoll.add(end.as_fd(), key, interest).is_ok()) {
                self.connections.insert(self.last_number, connection);
            }
        }
        epoll.remove(listener);
        self.resting.insert(number);
    }

    /// Whether a listener rests only because something was lacking, which may be there again.
    pub(super) fn could_take_more(&self) -> bool {
        !self.resting.is_empty() && self.connections.len() < MOST
    }

    /// Waits for connections again where that was given up.
    pub(super) fn resume(&mut self, epoll: &Epoll) {
        if !self.could_take_more() {
            return;
        }
        let listeners = &self.listeners;
        self.resting.retain(|number| {
            let Some((listener, _)) = listeners.get(*number as usize) else { return false };
            let key = Key::SpliceListener(*number).encode();
            epoll.add(listener.as_fd(), key, Interest::IN).is_err()
        });
    }

    /// Moves what can be moved on a connection; it goes when both ways have ended.
    pub(super) fn pump(&mut self, epoll: &Epoll, number: u32) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if connection.pump() {
            return;
        }
        if let Some(connection) = self.connections.remove(&number) {
            connection.ends.iter().for_each(|end| epoll.remove(end.as_fd()));
            drop(connection);
            self.resume(epoll);
        }
    }
}

impl Connection {
    fn open(client: OwnedFd, target: SocketAddr) -> Result<Self, Errno> {
        let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let server = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&server, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        Ok(Self { ends: [client, server], ways: [Way::new()?, Way::new()?] })
    }

    /// Whether the connection goes on.
    fn pump(&mut self) -> bool {
        let [client, server] = &self.ends;
        let [there, back] = &mut self.ways;
        let goes_on = there.pump(client, server).is_ok() && back.pump(server, client).is_ok();
        goes_on && !(there.is_shut && back.is_shut)
    }
}

impl Way {
    fn new() -> Result<Self, Errno> {
        let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { reading, writing, filled: 0, has_ended: false, is_shut: false })
    }

    /// Moves until one side would block; passes the end on when everything has been moved.
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        loop {
            let taken =
                if self.filled < PIECE && !self.has_ended { self.take(from)? } else { false };
            let given = if self.filled > 0 { self.give(to)? } else { false };
            if self.has_ended && self.filled == 0 && !self.is_shut {
                self.is_shut = true;
                match rustix::net::shutdown(to, Shutdown::Write) {
                    Ok(()) | Err(Errno::NOTCONN) => {}
                    Err(errno) => return Err(errno),
                }
            }
            if !taken && !given {
                return Ok(());
            }
        }
    }

    fn take(&mut self, from: &OwnedFd) -> Result<bool, Errno> {
        match splice(from, &self.writing, PIECE - self.filled)? {
            Some(0) => {
                self.has_ended = true;
                Ok(false)
            }
            Some(count) => {
                self.filled += count;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn give(&mut self, to: &OwnedFd) -> Result<bool, Errno> {
        let count = splice(&self.reading, to, self.filled)?;
        self.filled -= count.unwrap_or(0);
        Ok(count.is_some_and(|count| count > 0))
    }
}

/// Moves bytes between a pipe and a socket; `None` when one of them would block.
fn splice(from: &OwnedFd, to: &OwnedFd, most: usize) -> Result<Option<usize>, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match rustix::pipe::splice(from, None, to, None, most, flags) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
