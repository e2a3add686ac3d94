//! The few words that the caller and the container's first process exchange while it is set up.
//!
//! ```text
//! caller                                   process
//!   │  ← Born (+ pidfd)                       │ only for `exec`, from the one that makes it
//!   │ Proceed (ids mapped, in its cgroup)  →  │ waits for it before it needs either
//!   │  ← Ready (+ terminal)                   │ all is set up but what cannot be undone
//!   │ Start                                →  │ last steps, exec
//!   │  ← end of file                          │ exec succeeded: the socket is close-on-exec
//!   │  ← Failed (operation, object, errno)    │ at any moment, the last word
//! ```
//! One sequenced-packet socket pair; a message is one packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::process::{Pid, PidFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};

use crate::Error;

const PROCEED: u8 = b'p';
const START: u8 = b's';
const READY: u8 = b'r';
const BORN: u8 = b'b';
const FAILED: u8 = b'f';
const COMMAND: u8 = b'c';

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Parent {
    socket: OwnedFd,
}

/// The process's end.
#[derive(Debug)]
pub(crate) struct Child {
    socket: OwnedFd,
}

/// What a process says while it is made.
#[derive(Debug)]
pub(crate) enum Word {
    /// The process that was asked for exists.
    Born(PidFd),
    /// It waits at the gate; the master of its terminal.
    Ready(Option<OwnedFd>),
    /// Nobody holds the other end any more.
    End,
}

/// Why the process cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A step failed.
    Step(linux::Error),
    /// The program cannot be run.
    Command {
        /// In Docker's words.
        message: String,
        /// 126 or 127.
        exit_code: u8,
    },
    /// The caller has gone away: nobody to tell.
    Abandoned,
}

impl From<linux::Error> for Failure {
    fn from(error: linux::Error) -> Self {
        Self::Step(error)
    }
}

/// Both ends.
pub(crate) fn pair() -> Result<(Parent, Child), Error> {
    let (parent, child) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| linux::Error::new("make", "a socket pair", errno))?;
    Ok((Parent { socket: parent }, Child { socket: child }))
}

impl Parent {
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Lets the process use its ids and its control group.
    pub(crate) fn proceed(&self, process: &PidFd) -> Result<(), Error> {
        self.say(PROCEED, process)
    }

    /// Waits until the process is set up; gives the master of its terminal.
    pub(crate) fn wait_ready(&self, process: &PidFd) -> Result<Option<OwnedFd>, Error> {
        let mut buffer = [0; 4096];
        let (length, descriptor) = self.receive(&mut buffer, RecvFlags::empty())?;
        match buffer.get(..length) {
            Some([READY]) => Ok(descriptor),
            Some(message) if !message.is_empty() => Err(decode(message)),
            _ => Err(ended(process)),
        }
    }

    /// The next word, if there is one.
    pub(crate) fn hear(&self) -> Result<Option<Word>, Error> {
        let mut buffer = [0; 4096];
        let (length, descriptor) = match self.receive(&mut buffer, RecvFlags::DONTWAIT) {
            Err(Error::Prepare(error)) if error.errno() == Some(Errno::AGAIN) => return Ok(None),
            other => other?,
        };
        Ok(Some(match (buffer.get(..length), descriptor) {
            (Some([BORN, a, b, c, d]), Some(descriptor)) => {
                let pid = Pid::from_raw(i32::from_le_bytes([*a, *b, *c, *d]));
                let pid =
                    pid.ok_or(linux::Error::new("hear", "a process's number", Errno::INVAL))?;
                Word::Born(PidFd::from_parts(descriptor, pid))
            }
            (Some([READY]), descriptor) => Word::Ready(descriptor),
            (Some([]) | None, _) => Word::End,
            (Some(message), _) => return Err(decode(message)),
        }))
    }

    /// Opens the gate.
    pub(crate) fn open_gate(&self, process: &PidFd) -> Result<(), Error> {
        self.say(START, process)
    }

    /// Opens the gate; returns when exec has closed the socket.
    pub(crate) fn start(&self, process: &PidFd) -> Result<(), Error> {
        self.open_gate(process)?;
        let mut buffer = [0; 4096];
        let (length, _) = self.receive(&mut buffer, RecvFlags::empty())?;
        match buffer.get(..length) {
            Some([]) | None => Ok(()),
            Some(message) => Err(decode(message)),
        }
    }

    /// When something done to the process from outside has failed, it may be because the process
    /// had failed before and is gone: then its own last word says why.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let mut buffer = [0; 4096];
        let length = recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)
            .map_or(0, |(_, length)| length);
        match buffer.get(..length) {
            Some(message @ [FAILED | COMMAND, ..]) => decode(message),
            _ => error,
        }
    }

    fn say(&self, word: u8, process: &PidFd) -> Result<(), Error> {
        match send(&self.socket, &[word], SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            // It has failed already: its last word waits here.
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let mut buffer = [0; 4096];
                let (length, _) = self.receive(&mut buffer, RecvFlags::DONTWAIT)?;
                match buffer.get(..length) {
                    Some(message) if !message.is_empty() => Err(decode(message)),
                    _ => Err(ended(process)),
                }
            }
            Err(errno) => {
                Err(linux::Error::new("speak to", "the container's process", errno).into())
            }
        }
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        flags: RecvFlags,
    ) -> Result<(usize, Option<OwnedFd>), Error> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let result = loop {
            let mut slices = [IoSliceMut::new(buffer)];
            match recvmsg(
                &self.socket,
                &mut slices,
                &mut ancillary,
                flags | RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let length = match result {
            Ok(message) => message.bytes,
            Err(Errno::CONNRESET) => 0,
            Err(errno) => {
                return Err(linux::Error::new("hear", "the container's process", errno).into());
            }
        };
        let mut descriptor = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                descriptor = descriptors.next();
            }
        }
        Ok((length, descriptor))
    }
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Child {
    pub(crate) fn from_socket(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Waits until ids are mapped and the process is in its control group.
    pub(crate) fn wait_proceed(&self) -> Result<(), Failure> {
        self.wait_for(PROCEED)
    }

    /// Waits at the gate.
    pub(crate) fn wait_start(&self) -> Result<(), Failure> {
        self.wait_for(START)
    }

    fn wait_for(&self, word: u8) -> Result<(), Failure> {
        let mut buffer = [0; 1];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Err(Errno::INTR) => {}
                Ok(1) if buffer[0] == word => return Ok(()),
                _ => return Err(Failure::Abandoned),
            }
        }
    }

    /// Says that the process asked for exists, and hands it over.
    pub(crate) fn born(&self, process: &PidFd) -> Result<(), Failure> {
        let [a, b, c, d] = process.pid().as_raw_nonzero().get().to_le_bytes();
        self.tell(&[BORN, a, b, c, d], Some(process.as_fd()))
    }

    /// Says that all is set up, and hands over the terminal's master.
    pub(crate) fn ready(&self, terminal: Option<&OwnedFd>) -> Result<(), Failure> {
        self.tell(&[READY], terminal.map(AsFd::as_fd))
    }

    fn tell(&self, word: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&self.socket, &[IoSlice::new(word)], &mut ancillary, SendFlags::NOSIGNAL)
            .map(drop)
            .map_err(|_| Failure::Abandoned)
    }

    /// The last word.
    pub(crate) fn failed(&self, failure: &Failure) {
        // When nobody listens there is nobody to tell.
        let _told = send(&self.socket, &encode(failure), SendFlags::NOSIGNAL);
    }
}

/// `f`, the error number, then operation and object with a zero byte between them; or `c`, the exit
/// code, the message.
fn encode(failure: &Failure) -> Vec<u8> {
    match failure {
        Failure::Step(error) => {
            let errno = error.errno().map_or(0, Errno::raw_os_error);
            let mut message = vec![FAILED];
            message.extend(errno.to_le_bytes());
            message.extend(error.to_string().bytes().take(3000));
            message
        }
        Failure::Command { message, exit_code } => {
            let mut bytes = vec![COMMAND, *exit_code];
            bytes.extend(message.bytes().take(3000));
            bytes
        }
        Failure::Abandoned => vec![FAILED],
    }
}

fn decode(message: &[u8]) -> Error {
    match message {
        [FAILED, a, b, c, d, text @ ..] => {
            let errno = i32::from_le_bytes([*a, *b, *c, *d]);
            let text = String::from_utf8_lossy(text);
            let (operation, object) = text.split_once(' ').unwrap_or((&text, ""));
            Error::Setup {
                operation: operation.to_owned(),
                object: object.to_owned(),
                source: io::Error::from_raw_os_error(errno),
            }
        }
        [COMMAND, exit_code, text @ ..] => Error::Command {
            message: String::from_utf8_lossy(text).into_owned(),
            exit_code: *exit_code,
        },
        _ => Error::Ended { status: "it gave no reason".to_owned() },
    }
}

/// Says how a child ended that should not have, and reaps it.
pub(crate) fn ended(process: &PidFd) -> Error {
    let status = match process.try_wait() {
        Ok(Some(status)) => format!("exit code {}", status.code()),
        _ => "its status is not known".to_owned(),
    };
    Error::Ended { status }
}

#[cfg(test)]
mod tests {
    use super::{Failure, decode, encode};
    use crate::Error;
    use rustix::io::Errno;

    #[test]
    fn failures_arrive_as_they_were() {
        let step = Failure::Step(linux::Error::new("attach", "/a b", Errno::NOTDIR));
        match decode(&encode(&step)) {
            Error::Setup { operation, object, source } => {
                assert_eq!((operation.as_str(), object.as_str()), ("attach", "/a b"));
                assert_eq!(source.raw_os_error(), Some(Errno::NOTDIR.raw_os_error()));
            }
            other => panic!("{other:?}"),
        }
        let command = Failure::Command { message: "no".to_owned(), exit_code: 127 };
        assert_eq!(decode(&encode(&command)).exit_code(), 127);
    }
}
