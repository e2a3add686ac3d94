//! The few words that the caller and the container's first process exchange while it is set up.
//!
//! ```text
//! caller                                   process
//!   │  ← Born (+ pidfd)                       │ only for `exec`, from the one that makes it
//!   │ Proceed (+ what it needs)            →  │ waits for it before it needs ids or cgroup
//!   │  ← Mounted                              │ only when the caller has hooks to run
//!   │ Go on                                →  │
//!   │  ← Ready (+ terminal)                   │ all is set up but what cannot be undone
//!   │ Start                                →  │ last steps, exec
//!   │  ← Listening (descriptor, listener)     │ only when a listener answers system calls
//!   │ Go on                                →  │
//!   │  ← end of file                          │ exec succeeded: the socket is close-on-exec
//!   │  ← Failed (operation, object, errno)    │ at any moment, the last word
//! ```
//! One sequenced-packet socket pair; a message is one packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use linux::cgroup::Entrance;
use linux::process::{Pid, PidFd};
use oci::runtime::State;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

use crate::Error;
use crate::listener::Listener;

const PROCEED: u8 = b'p';
const START: u8 = b's';
const MOUNTED: u8 = b'm';
const LISTENING: u8 = b'l';
const GO_ON: u8 = b'g';
const READY: u8 = b'r';
const BORN: u8 = b'b';
const FAILED: u8 = b'f';
const COMMAND: u8 = b'c';
const HOOK: u8 = b'h';

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Parent {
    socket: OwnedFd,
    /// What a listener is told of the container.
    state: State,
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
    /// It has loaded a filter of which somebody is to be told: for [`Parent::introduce`].
    Listening(Vec<u8>),
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
    /// A hook failed, in the words of [`Error::Hook`].
    Hook(String),
    /// The caller has gone away: nobody to tell.
    Abandoned,
}

impl From<linux::Error> for Failure {
    fn from(error: linux::Error) -> Self {
        Self::Step(error)
    }
}

/// What the process gets from the caller when it may proceed.
#[derive(Debug, Default)]
pub(crate) struct Gifts {
    /// The network namespace to join, when it was made beside everything else.
    pub network: Option<OwnedFd>,
    /// The way into its groups of cgroup v1; nothing for a process that has been moved.
    pub entrance: Entrance,
}

impl Gifts {
    /// The network namespace last.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.entrance.doors().iter().chain(&self.network).map(AsFd::as_fd).collect()
    }
}

/// A network namespace, and more than there are hierarchies of cgroup v1.
const MOST_DESCRIPTORS: usize = 24;

/// Both ends, for a process of this container.
pub(crate) fn pair(state: State) -> Result<(Parent, Child), Error> {
    let (parent, child) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| linux::Error::new("make", "a socket pair", errno))?;
    Ok((Parent { socket: parent, state }, Child { socket: child }))
}

impl Parent {
    pub(crate) fn from_socket(socket: OwnedFd, state: State) -> Self {
        Self { socket, state }
    }

    /// What a listener is told of the container, but for number and status.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Lets the process use its ids and its control group.
    pub(crate) fn proceed(&self, process: &PidFd, gifts: &Gifts) -> Result<(), Error> {
        self.say(&[PROCEED, u8::from(gifts.network.is_some())], &gifts.descriptors(), process)
    }

    /// As [`Self::proceed`], to a process that is not born yet.
    pub(crate) fn promise(&self, gifts: &Gifts) -> Result<(), Error> {
        let word = [PROCEED, u8::from(gifts.network.is_some())];
        speak(&self.socket, &word, &gifts.descriptors())
            .map_err(|errno| linux::Error::new("speak to", "the container's process", errno).into())
    }

    /// Waits until everything is mounted, does `hooks`, and lets the process go on.
    pub(crate) fn when_mounted(
        &self,
        process: &PidFd,
        hooks: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        let (length, _) = self.receive(&mut buffer, RecvFlags::empty())?;
        match buffer.get(..length) {
            Some([MOUNTED]) => hooks()?,
            Some(message) if !message.is_empty() => return Err(decode(message)),
            _ => return Err(ended(process)),
        }
        self.say(&[GO_ON], &[], process)
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
            (Some([LISTENING, word @ ..]), _) => Word::Listening(word.to_vec()),
            (Some([]) | None, _) => Word::End,
            (Some(message), _) => return Err(decode(message)),
        }))
    }

    /// Opens the gate.
    pub(crate) fn open_gate(&self, process: &PidFd) -> Result<(), Error> {
        self.say(&[START], &[], process)
    }

    /// Opens the gate; returns when exec has closed the socket.
    pub(crate) fn start(&self, process: &PidFd) -> Result<(), Error> {
        self.open_gate(process)?;
        self.wait_exec(process)
    }

    /// Waits until exec has closed the socket.
    pub(crate) fn wait_exec(&self, process: &PidFd) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        loop {
            let (length, _) = self.receive(&mut buffer, RecvFlags::empty())?;
            match buffer.get(..length) {
                Some([]) | None => return Ok(()),
                Some([LISTENING, word @ ..]) => self.introduce(process, word)?,
                Some(message) => return Err(decode(message)),
            }
        }
    }

    /// Sends the descriptor at which system calls of the process are answered to who answers them,
    /// and lets the process go on.
    pub(crate) fn introduce(&self, process: &PidFd, word: &[u8]) -> Result<(), Error> {
        let wrong = || linux::Error::new("hear", "of a seccomp listener", Errno::BADMSG);
        let (number, text) = word.split_first_chunk().ok_or_else(wrong)?;
        let descriptor = process.copy_descriptor(i32::from_le_bytes(*number))?;
        let listener: Listener = serde_json::from_slice(text).map_err(|_| wrong())?;
        listener.introduce(process, &self.state, &descriptor)?;
        self.say(&[GO_ON], &[], process)
    }

    /// What the process had to say until it ended.
    pub(crate) fn verdict(&self) -> Result<(), Error> {
        let mut was_ready = false;
        loop {
            match self.hear()? {
                Some(Word::Ready(_)) => was_ready = true,
                Some(Word::Born(_) | Word::Listening(_)) => {}
                Some(Word::End) | None if was_ready => return Ok(()),
                Some(Word::End) | None => {
                    return Err(Error::Ended { status: "it gave no reason".to_owned() });
                }
            }
        }
    }

    /// When something done to the process from outside has failed, it may be because the process
    /// had failed before and is gone: then its own last word says why.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let mut buffer = [0; 4096];
        let length =
            hear(&self.socket, &mut buffer, RecvFlags::DONTWAIT).map_or(0, |(length, _)| length);
        match buffer.get(..length) {
            Some(message @ [FAILED | COMMAND | HOOK, ..]) => decode(message),
            _ => error,
        }
    }

    fn say(
        &self,
        word: &[u8],
        descriptors: &[BorrowedFd<'_>],
        process: &PidFd,
    ) -> Result<(), Error> {
        match speak(&self.socket, word, descriptors) {
            Ok(()) => Ok(()),
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
        hear(&self.socket, buffer, flags)
            .map(|(length, descriptors)| (length, descriptors.into_iter().next()))
            .map_err(|errno| linux::Error::new("hear", "the container's process", errno).into())
    }
}

/// Sends one message, with descriptors.
fn speak(socket: &OwnedFd, word: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    sendmsg(socket, &[IoSlice::new(word)], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
}

/// Receives one message, and the descriptors that come with it; length 0 is the end.
fn hear(
    socket: &OwnedFd,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match recvmsg(socket, &mut slices, &mut ancillary, flags | RecvFlags::CMSG_CLOEXEC) {
            // An end that is closed with words unheard is told once, before what it had said itself.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Ok(message) => break message.bytes,
            Err(errno) => return Err(errno),
        }
    };
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok((length, descriptors))
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

    /// Waits until ids are mapped and the control group is there.
    pub(crate) fn wait_proceed(&self) -> Result<Gifts, Failure> {
        let mut buffer = [0; 2];
        match hear(&self.socket, &mut buffer, RecvFlags::empty()) {
            Ok((2, mut descriptors)) if buffer[0] == PROCEED => {
                let network = if buffer[1] == 0 { None } else { descriptors.pop() };
                Ok(Gifts { network, entrance: Entrance::from_doors(descriptors) })
            }
            _ => Err(Failure::Abandoned),
        }
    }

    /// Says that everything is mounted, and waits until the caller's hooks have been run.
    pub(crate) fn mounted(&self) -> Result<(), Failure> {
        self.tell(&[MOUNTED], None)?;
        self.wait_for(GO_ON)
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
                Ok(1) if buffer == [word] => return Ok(()),
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
        speak(&self.socket, word, descriptor.as_slice()).map_err(|_| Failure::Abandoned)
    }

    /// Says at which descriptor this listener will answer calls of this process, by a plain `write`, and
    /// waits until it has been told.
    pub(crate) fn listener(
        &self,
        descriptor: &OwnedFd,
        listener: &Listener,
    ) -> Result<(), Failure> {
        let text = listener.to_json();
        let number = descriptor.as_raw_fd().to_le_bytes();
        let word = [&[LISTENING][..], &number, &text].concat();
        rustix::io::write(&self.socket, &word).map_err(|_| Failure::Abandoned)?;
        self.wait_for(GO_ON)
    }

    /// The last word.
    pub(crate) fn failed(&self, failure: &Failure) {
        // When nobody listens there is nobody to tell.
        let _told = send(&self.socket, &encode(failure), SendFlags::NOSIGNAL);
    }
}

/// `f`, the error number, then operation and object with a space between them; or `c`, the exit
/// code, the message; or `h` and the message.
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
        Failure::Hook(message) => [HOOK].into_iter().chain(message.bytes().take(3000)).collect(),
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
        [HOOK, text @ ..] => Error::Hook { message: String::from_utf8_lossy(text).into_owned() },
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
