//! Netlink: requests to the kernel's network stack as batches of messages, and dumps.
//!
//! Synchronous and without hidden state: a [`Batch`] is a byte vector of messages, sent by one
//! call; the kernel has worked it off when the call returns, and its answers are already queued.
//! Errors carry the kernel's own sentence (extended acknowledgement) when it gives one.
//! Specification: <https://docs.kernel.org/userspace-api/netlink/intro.html>.

mod attribute;
mod batch;

pub use attribute::{Attributes, text, u16_of, u32_of};
pub use batch::{Batch, Flags};

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Error;

/// Bytes of a message's header (`struct nlmsghdr`).
pub(crate) const HEADER: usize = 16;

const KIND_ERROR: u16 = 2;
const KIND_DONE: u16 = 3;
/// The answer's copy of the request is cut off after its header.
const ANSWER_CAPPED: u16 = 0x100;
/// The answer ends with attributes.
const ANSWER_HAS_ATTRIBUTES: u16 = 0x200;
/// The dump was disturbed by a change.
const DUMP_INTERRUPTED: u16 = 0x10;
/// Dumps arrive in pieces of up to this many bytes.
const BUFFER: usize = 32 * 1024;
/// How often a dump is repeated that changes disturb.
const DUMP_ATTEMPTS: usize = 8;

/// The kernel's subsystem a socket speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes.
    Route,
    /// nftables.
    Netfilter,
}

/// One message of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message's type, as the subsystem defines it.
    pub kind: u16,
    /// Everything after the header.
    pub payload: Vec<u8>,
}

/// A netlink socket, bound to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
    /// How much of the buffer the last datagram fills.
    received: usize,
}

struct Answer<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    sender: u32,
    payload: &'a [u8],
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel lacks the subsystem or descriptors ran out.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        Self::subscribe(protocol, 0)
    }

    /// As [`Self::open`], and told what concerns these groups (a bit each): see [`Self::news`].
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn subscribe(protocol: Protocol, groups: u32) -> Result<Self, Error> {
        let (number, name) = match protocol {
            // NETLINK_ROUTE is protocol 0.
            Protocol::Route => (None, "route netlink socket"),
            Protocol::Netfilter => (Some(netlink::NETFILTER), "netfilter netlink socket"),
        };
        let failed = |errno| Error::new("open", name, errno);
        let descriptor = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            number,
        )
        .map_err(failed)?;
        set_option(&descriptor, libc::NETLINK_EXT_ACK).map_err(failed)?;
        set_option(&descriptor, libc::NETLINK_CAP_ACK).map_err(failed)?;
        rustix::net::bind(&descriptor, &SocketAddrNetlink::new(0, groups)).map_err(failed)?;
        Ok(Self { descriptor, sequence: 1, buffer: Box::new([]), received: 0 })
    }

    /// The number by which the kernel tells this socket from others.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn port(&self) -> Result<u32, Error> {
        let failed = |errno| Error::new("read address of", "netlink socket", errno);
        let address = rustix::net::getsockname(&self.descriptor).map_err(failed)?;
        Ok(SocketAddrNetlink::try_from(address).map_err(failed)?.pid())
    }

    /// Gives every message of the groups subscribed to that has come so far to `visit`: the port
    /// of the socket that caused it, its type and its payload. Says whether messages were lost.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn news(&mut self, mut visit: impl FnMut(u32, u16, &[u8])) -> Result<bool, Error> {
        let mut lost = false;
        loop {
            match self.receive("news") {
                Ok(()) => answers(self.datagram())
                    .for_each(|answer| visit(answer.sender, answer.kind, answer.payload)),
                Err(error) if error.errno() == Some(Errno::AGAIN) => return Ok(lost),
                Err(error) if error.errno() == Some(Errno::NOBUFS) => lost = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes room for large batches and many answers; without `CAP_NET_ADMIN` it stays as it is.
    pub fn enlarge(&self, bytes: usize) {
        for result in [
            rustix::net::sockopt::set_socket_send_buffer_size_force(&self.descriptor, bytes),
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&self.descriptor, bytes),
        ] {
            // A smaller buffer only makes very large batches fail, with an error that says so.
            let _ = result;
        }
    }

    /// Sends a batch and waits for the kernel's verdict on all of its messages. `object` stands in
    /// errors. Later messages are tried even when earlier ones failed, except in nftables, where
    /// a batch is all or nothing.
    ///
    /// # Errors
    /// The first message that the kernel refused.
    pub fn execute(&mut self, batch: &mut Batch, object: &str) -> Result<(), Error> {
        let count = batch.count();
        if count == 0 {
            return Ok(());
        }
        let first = self.sequence;
        self.sequence = self.sequence.wrapping_add(count);
        let last = first.wrapping_add(batch.acknowledged());
        self.send(batch.finish(first), object)?;
        let mut failure = None;
        loop {
            self.receive(object)?;
            for answer in answers(self.datagram()) {
                if answer.kind != KIND_ERROR || answer.sequence.wrapping_sub(first) >= count {
                    continue;
                }
                if let Some((errno, sentence)) = verdict(&answer) {
                    let operation = batch.operation(answer.sequence.wrapping_sub(first));
                    failure.get_or_insert_with(|| {
                        Error::new(operation, said(object, sentence), errno)
                    });
                }
                // A transaction that fails as a whole is answered at its first message only.
                if answer.sequence == last || (batch.transaction() && answer.sequence == first) {
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends the one request in `batch` and collects the dumped messages.
    ///
    /// # Errors
    /// When the kernel refuses, or the dump is disturbed again and again.
    pub fn dump(&mut self, batch: &mut Batch, object: &str) -> Result<Vec<Message>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(messages) = self.dump_once(batch, object)? {
                return Ok(messages);
            }
        }
        Err(Error::new("list", object, Errno::INTR))
    }

    fn dump_once(
        &mut self,
        batch: &mut Batch,
        object: &str,
    ) -> Result<Option<Vec<Message>>, Error> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.send(batch.finish(sequence), object)?;
        let mut messages = Vec::new();
        let mut disturbed = false;
        loop {
            self.receive(object)?;
            for answer in answers(self.datagram()) {
                if answer.sequence != sequence {
                    continue;
                }
                disturbed |= answer.flags & DUMP_INTERRUPTED != 0;
                if answer.kind == KIND_ERROR || answer.kind == KIND_DONE {
                    return match verdict(&answer) {
                        Some((Errno::INTR, _)) => Ok(None),
                        Some((errno, sentence)) => {
                            Err(Error::new(batch.operation(0), said(object, sentence), errno))
                        }
                        None if disturbed => Ok(None),
                        None => Ok(Some(messages)),
                    };
                }
                messages.push(Message { kind: answer.kind, payload: answer.payload.to_vec() });
            }
        }
    }

    /// Sends the one request in `batch` and returns the one message that answers it.
    ///
    /// # Errors
    /// When the kernel refuses; its errno says why (`NODEV`, `NOENT`).
    pub fn get(&mut self, batch: &mut Batch, object: &str) -> Result<Message, Error> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.send(batch.finish(sequence), object)?;
        loop {
            self.receive(object)?;
            for answer in answers(self.datagram()) {
                if answer.sequence != sequence {
                    continue;
                }
                if answer.kind != KIND_ERROR {
                    return Ok(Message { kind: answer.kind, payload: answer.payload.to_vec() });
                }
                if let Some((errno, sentence)) = verdict(&answer) {
                    return Err(Error::new(batch.operation(0), said(object, sentence), errno));
                }
            }
        }
    }

    fn datagram(&self) -> &[u8] {
        self.buffer.get(..self.received).unwrap_or_default()
    }

    fn send(&self, bytes: &[u8], object: &str) -> Result<(), Error> {
        // Netlink takes a batch as a whole or not at all.
        rustix::io::retry_on_intr(|| rustix::net::send(&self.descriptor, bytes, SendFlags::empty()))
            .map(drop)
            .map_err(|errno| Error::new("send netlink request for", object, errno))
    }

    /// Reads one datagram. The kernel has queued every answer before `send` returned, so nothing
    /// to read is an error, not a reason to wait.
    fn receive(&mut self, object: &str) -> Result<(), Error> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER].into_boxed_slice();
        }
        let result = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.descriptor, &mut *self.buffer, RecvFlags::DONTWAIT)
        });
        match result {
            Ok((length, _)) => {
                self.received = length;
                Ok(())
            }
            Err(errno) => Err(Error::new("receive netlink answer for", object, errno)),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn said(object: &str, sentence: Option<&str>) -> String {
    sentence.map_or_else(|| object.to_owned(), |sentence| format!("{object} ({sentence})"))
}

/// The messages of one datagram.
fn answers(datagram: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_of(rest)?).ok()?;
        let message = rest.get(..length).filter(|_| length >= HEADER)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer {
            kind: u16_of(message.get(4..)?)?,
            flags: u16_of(message.get(6..)?)?,
            sequence: u32_of(message.get(8..)?)?,
            sender: u32_of(message.get(12..)?)?,
            payload: message.get(HEADER..)?,
        })
    })
}

/// The error number and the kernel's sentence in an answer; `None` is success.
fn verdict<'a>(answer: &Answer<'a>) -> Option<(Errno, Option<&'a str>)> {
    let code = answer.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code >= 0 {
        return None;
    }
    let copy = u32_of(answer.payload.get(4..).unwrap_or_default()).unwrap_or(0);
    let skipped = if answer.kind == KIND_DONE {
        4
    } else if answer.flags & ANSWER_CAPPED != 0 {
        4 + HEADER
    } else {
        4 + usize::try_from(copy).unwrap_or(usize::MAX).next_multiple_of(4)
    };
    let sentence = (answer.flags & ANSWER_HAS_ATTRIBUTES != 0)
        .then(|| Attributes::of(answer.payload.get(skipped..).unwrap_or_default()).find(1))
        .flatten()
        .and_then(text);
    Some((Errno::from_raw_os_error(-code), sentence))
}

fn set_option(descriptor: &OwnedFd, option: i32) -> Result<(), Errno> {
    let enabled: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the descriptor is open, the value is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            descriptor.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const enabled).cast(),
            size,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
