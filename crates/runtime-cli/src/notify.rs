//! Telling a service manager that the container is ready (`sd_notify(3)`), as runc does.
//!
//! ```text
//! container ── /run/notify/notify.sock ──▶ Inbox ── what is known, and bounded ──▶ Host
//!              ROOT/ID/notify, bound                MAINPID when it is ready
//! ```
//! The manager's own socket is never in the container: it would take descriptors, and messages
//! about other processes, from whoever is there.

use std::fs;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use linux::process::PidFd;
use oci::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

use crate::{Call, Failure};

const VARIABLE: &str = "NOTIFY_SOCKET";
/// Where the container finds its socket.
const PLACE: &str = "/run/notify";
const NAME: &str = "notify.sock";

/// systemd takes no longer ones (`PIPE_BUF`).
const MAX_MESSAGE: usize = 4096;

/// How many are read before anything else has its turn.
const MAX_MESSAGES: usize = 16;

/// How long the manager may take, as systemd-notify(1) has it.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Whether somebody wants to be told.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|address| !address.is_empty())
}

/// The directory of a container's socket, in that of its state.
fn directory(call: &Call, id: &str) -> PathBuf {
    call.states.gate(id).with_file_name("notify")
}

/// Gives the container a place for a socket, and tells its program where.
pub(crate) fn furnish(call: &Call, id: &str, spec: &mut Spec) -> Result<(), Failure> {
    let directory = directory(call, id);
    let fail = |error| format!("make {}: {error}", directory.display());
    fs::DirBuilder::new().mode(0o755).create(&directory).map_err(fail)?;
    // Whatever the caller's mask: the container's users go through it.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).map_err(fail)?;
    spec.mounts.push(Mount {
        destination: PLACE.to_owned(),
        kind: Some("bind".to_owned()),
        source: Some(directory.display().to_string()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        let is_other =
            |entry: &String| entry.split_once('=').is_none_or(|(name, _)| name != VARIABLE);
        process.env.retain(is_other);
        process.env.push(format!("{VARIABLE}={PLACE}/{NAME}"));
    }
    Ok(())
}

/// The container's socket, this end.
pub(crate) struct Inbox {
    socket: OwnedFd,
    /// `None` when the manager cannot be reached, which was told.
    host: Option<Host>,
    is_ready: bool,
}

impl Inbox {
    /// Opens the socket in its place, which [`furnish`] has made.
    pub(crate) fn open(call: &Call, id: &str) -> Result<Self, Failure> {
        let directory = directory(call, id);
        if !directory.is_dir() {
            let message = "was created without NOTIFY_SOCKET: it has nothing to tell its state by";
            return Err(format!("container {id} {message}").into());
        }
        let path = directory.join(NAME);
        let fail = |errno| linux::Error::new("listen at", path.display(), errno);
        let socket = datagram_socket().map_err(fail)?;
        with_address(&directory, |address| rustix::net::bind(&socket, address)).map_err(fail)?;
        // Any user of the container may write to it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))
            .map_err(|error| format!("change mode of {}: {error}", path.display()))?;
        let host = Host::connect().inspect_err(|failure| call.log.warn(&failure.message)).ok();
        Ok(Self { socket, host, is_ready: false })
    }

    /// Passes on what has been said; never waits for the container. `main` is named when it is ready.
    pub(crate) fn pass_on(&mut self, main: u32) {
        let mut buffer = [0; MAX_MESSAGE];
        // Descriptors that are sent along are not taken.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        for _ in 0..MAX_MESSAGES {
            let received = rustix::net::recv(&self.socket, &mut buffer[..], flags);
            let Ok((_, length)) = received else { break };
            let Some(message) = buffer.get(..length) else { continue };
            let (mut told, is_ready) = sift(message);
            if is_ready && !self.is_ready {
                told.push_str(&format!("MAINPID={main}\n"));
                self.is_ready = true;
            }
            if !told.is_empty() && self.host.as_ref().is_some_and(|host| !host.tell(&told)) {
                self.host = None;
            }
        }
    }

    /// Until the container is ready, or has ended; the manager then watches its first process.
    pub(crate) fn await_ready(mut self, process: &PidFd) {
        let main = process.pid().as_raw_nonzero().get().unsigned_abs();
        while self.host.is_some() && !self.is_ready {
            let mut waiting =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
            while poll(&mut waiting, None) == Err(Errno::INTR) {}
            let [_, ended] = waiting.map(|one| !one.revents().is_empty());
            self.pass_on(main);
            if ended {
                break;
            }
        }
        if let Some(host) = &self.host
            && self.is_ready
        {
            host.barrier();
        }
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The service manager's socket.
struct Host {
    socket: OwnedFd,
}

impl Host {
    fn connect() -> Result<Self, Failure> {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let fail = |errno: Errno| {
            Failure::from(format!("cannot tell {VARIABLE}={name:?} of the container: {errno}"))
        };
        let address = match name.strip_prefix('@') {
            Some(rest) => SocketAddrUnix::new_abstract_name(rest.as_bytes()),
            None if name.starts_with('/') => SocketAddrUnix::new(name.as_str()),
            None => Err(Errno::AFNOSUPPORT),
        };
        let socket = datagram_socket().map_err(fail)?;
        rustix::net::connect(&socket, &address.map_err(fail)?).map_err(fail)?;
        Ok(Self { socket })
    }

    /// Whether there is still somebody to tell.
    fn tell(&self, message: &str) -> bool {
        self.send(message.as_bytes(), None).is_ok()
    }

    /// Waits until everything was heard, before whoever said it is gone (`sd_notify_barrier(3)`).
    fn barrier(&self) {
        let Ok((theirs, ours)) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map(|(reader, writer)| (writer, reader))
        else {
            return;
        };
        if self.send(b"BARRIER=1", Some(theirs.as_fd())).is_ok() {
            drop(theirs);
            let mut waiting = [PollFd::new(&ours, PollFlags::empty())];
            while poll(&mut waiting, Some(&PATIENCE)) == Err(Errno::INTR) {}
        }
    }

    fn send(&self, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let descriptors: &[BorrowedFd<'_>] = descriptor.as_slice();
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let slices = [IoSlice::new(message)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut send = || rustix::net::sendmsg(&self.socket, &slices, &mut ancillary, flags);
        match rustix::io::retry_on_intr(&mut send) {
            Err(Errno::AGAIN) => {
                let mut waiting = [PollFd::new(&self.socket, PollFlags::OUT)];
                while poll(&mut waiting, Some(&PATIENCE)) == Err(Errno::INTR) {}
                send()
            }
            other => other,
        }
        .map(|_| ())
    }
}

/// What of a message is passed on, and whether it says that all is ready. Its own main process, and
/// descriptors to be kept, are nothing that a container decides.
fn sift(message: &[u8]) -> (String, bool) {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let is_number = |value: &str| {
        !value.is_empty() && value.len() <= 20 && value.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_known = |line: &&str| match line.split_once('=') {
        Some(("READY" | "RELOADING" | "STOPPING" | "WATCHDOG", value)) => value == "1",
        Some(("STATUS", value)) => !value.chars().any(char::is_control),
        Some(("ERRNO" | "MONOTONIC_USEC" | "EXTEND_TIMEOUT_USEC", value)) => is_number(value),
        _ => false,
    };
    let known: Vec<&str> = text.split('\n').filter(is_known).collect();
    let is_ready = known.contains(&"READY=1");
    (known.iter().map(|line| format!("{line}\n")).collect(), is_ready)
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Calls with the address of the socket in this directory. One that is too long for an address (107
/// bytes) is reached through the open directory.
fn with_address(
    directory: &Path,
    call: impl Fn(&SocketAddrUnix) -> Result<(), Errno>,
) -> Result<(), Errno> {
    match SocketAddrUnix::new(directory.join(NAME)) {
        Err(Errno::NAMETOOLONG) => {}
        address => return call(&address?),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
    let short = format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd());
    call(&SocketAddrUnix::new(short)?)
}

#[cfg(test)]
mod tests {
    use super::sift;

    #[test]
    fn only_what_is_known_is_passed_on() {
        for (message, told) in [
            ("READY=1", "READY=1\n"),
            ("READY=1\nSTATUS=all well\nMAINPID=1\n", "READY=1\nSTATUS=all well\n"),
            ("READY=0\nREADY=\nREADY=11\nXREADY=1\n=1\nREADY", ""),
            ("FDSTORE=1\nFDNAME=x\nBARRIER=1\nMAINPIDFDID=5\nNOTIFYACCESS=all\nBUSERROR=x", ""),
            ("STATUS=\u{1b}[2J\nSTATUS=a\tb", ""),
            ("RELOADING=1\nMONOTONIC_USEC=12", "RELOADING=1\nMONOTONIC_USEC=12\n"),
            ("EXTEND_TIMEOUT_USEC=-1\nERRNO=2x\nERRNO=2", "ERRNO=2\n"),
            ("WATCHDOG=trigger\nWATCHDOG=1\nSTOPPING=1", "WATCHDOG=1\nSTOPPING=1\n"),
            ("", ""),
        ] {
            assert_eq!(sift(message.as_bytes()), (told.to_owned(), told.contains("READY")));
        }
        assert_eq!(sift(b"READY=1\n\xff"), (String::new(), false));
        let long = format!("EXTEND_TIMEOUT_USEC={}", "9".repeat(21));
        assert_eq!(sift(long.as_bytes()).0, "");
    }
}
