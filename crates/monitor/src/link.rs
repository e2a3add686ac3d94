//! One end of a framed connection, non-blocking, for a loop that must never wait for a peer.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::socket;
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stdx::frame::{self, Decoder};

/// The most that is kept for a peer that does not read, in bytes; then the connection is given up.
const MOST_UNSENT: usize = 4 << 20;

/// The most descriptors that wait for the frame they belong to.
const MOST_FDS: usize = 4 * socket::MAX_FDS;

/// A framed connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    decoder: Decoder,
    fds: VecDeque<OwnedFd>,
    unsent: Vec<u8>,
    is_broken: bool,
}

impl Link {
    /// Takes a connected stream socket over.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        // Refused for no socket at all; then the first read says so, too.
        let is_broken = rustix::io::ioctl_fionbio(&socket, true).is_err();
        Self {
            socket,
            decoder: Decoder::new(),
            fds: VecDeque::new(),
            unsent: Vec::new(),
            is_broken,
        }
    }

    /// Reads what is there; false at the end of the connection.
    pub(crate) fn receive(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let mut fds = Vec::new();
        while !self.is_broken {
            match socket::receive_with_fds(self.socket.as_fd(), &mut buffer, &mut fds) {
                Ok(0) => self.is_broken = true,
                Ok(count) => {
                    self.decoder.push(&buffer[..count]);
                    self.fds.extend(fds.drain(..));
                    self.is_broken |= self.fds.len() > MOST_FDS;
                }
                Err(Errno::AGAIN) => return true,
                Err(_) => self.is_broken = true,
            }
        }
        false
    }

    /// The next whole frame.
    pub(crate) fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.decoder.next_frame().unwrap_or_else(|_| {
            self.is_broken = true;
            None
        })
    }

    /// The descriptors of a frame, which arrive with its first byte; `None` when it brought fewer.
    pub(crate) fn take_fds(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (self.fds.len() >= count).then(|| self.fds.drain(..count).collect())
    }

    /// Sends a message, or keeps what the socket does not take now.
    pub(crate) fn send(&mut self, message: &impl Serialize) {
        self.send_with_fds(message, &[]);
    }

    /// As [`Link::send`]; with descriptors, nothing may be unsent, and what does not go out at once
    /// breaks the connection.
    pub(crate) fn send_with_fds(&mut self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) {
        let encoded = serde_json::to_vec(message)
            .map_err(std::io::Error::from)
            .and_then(|payload| frame::encode(&payload));
        match encoded {
            Ok(bytes) if fds.is_empty() => {
                self.unsent.extend_from_slice(&bytes);
                self.flush();
            }
            Ok(bytes) if self.unsent.is_empty() => {
                match socket::send_some(self.socket.as_fd(), &bytes, fds) {
                    Ok(count) => self.unsent.extend_from_slice(&bytes[count..]),
                    Err(_) => self.is_broken = true,
                }
            }
            _ => self.is_broken = true,
        }
    }

    /// Sends what is unsent, as far as the socket takes it.
    pub(crate) fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.is_broken {
            match socket::send_some(self.socket.as_fd(), &self.unsent, &[]) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.is_broken = self.unsent.len() > MOST_UNSENT;
                    return;
                }
                Err(_) => self.is_broken = true,
            }
        }
        self.unsent.shrink_to_fit();
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() && !self.is_broken
    }

    /// Whether nothing comes or goes any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Understands one frame.
pub(crate) fn parse<T: DeserializeOwned>(frame: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(frame)
}
