//! CRIU at work: one process that is asked one thing over a socket pair (`criu swrk`).
//!
//! ```text
//!   this process                      criu swrk FD
//!       │ ── request ──────────────────▶ │
//!       │ ◀────────────── notice ─────── │   any number of times; a terminal may come with it
//!       │ ── go on, or not ────────────▶ │
//!       │ ◀────────────── answer ─────── │   the last
//! ```
//! This is the one helper program that the runtime runs: what it does no other can do.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::Group;
use linux::process::{CloneOptions, PidFd, SingleThreaded};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::rpc::{self, Answer, Kind, Notice};
use super::wire::Message;
use crate::Error;

/// The program, and where it finds its own helpers.
#[derive(Debug, Clone)]
pub struct Criu {
    program: PathBuf,
    search_path: String,
}

/// Older ones cannot lock the network by nftables, nor restore a profile of another name.
const OLDEST: u64 = 31600;

impl Criu {
    /// The program of this name or path; without one, `criu` in the search path.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when there is none.
    pub fn find(program: Option<&Path>, search_path: &str) -> Result<Self, Error> {
        let name = program.unwrap_or(Path::new("criu"));
        let found = if name.components().count() > 1 {
            name.exists().then(|| name.to_owned())
        } else {
            in_search_path(search_path, name)
        };
        let Some(program) = found else {
            return Err(Error::unsupported(format!(
                "checkpoint and restore need CRIU, and there is no program {}: install the package \
                 criu, or say --criu PATH",
                name.display()
            )));
        };
        Ok(Self { program, search_path: search_path.to_owned() })
    }

    /// Whether a helper of CRIU's is there.
    pub(super) fn has(&self, helper: &str) -> bool {
        in_search_path(&self.search_path, Path::new(helper)).is_some()
    }
}

fn in_search_path(search_path: &str, name: &Path) -> Option<PathBuf> {
    let mut places = search_path.split(':').filter(|place| !place.is_empty());
    places.find_map(|place| Some(Path::new(place).join(name)).filter(|path| path.is_file()))
}

/// What CRIU has besides the request.
#[derive(Debug, Default)]
pub(super) struct Surroundings<'a> {
    /// The control group it works in, and with it what it restores.
    pub(super) group: Option<&'a Group>,
    /// Descriptors that it keeps, under the same numbers.
    pub(super) keep: Vec<BorrowedFd<'a>>,
}

/// What is done at a notice of this CRIU, with the descriptors that came with it.
pub(super) type Attend<'a> = &'a mut dyn FnMut(&PidFd, &Notice, Vec<OwnedFd>) -> Result<(), Error>;

/// What is done in CRIU's process before it is CRIU; it keeps what that opens.
pub(super) type Before<'a> = &'a dyn Fn() -> Result<Vec<OwnedFd>, linux::Error>;

/// Room for one message; CRIU's are short.
const LONGEST: usize = 1 << 16;

/// Asks once, and hears the answer. `before` is run in CRIU's process, before it is CRIU.
///
/// # Errors
/// What a notice's own work said; [`Error::Criu`] with CRIU's words. It has ended then.
pub(super) fn ask(
    token: &SingleThreaded,
    criu: &Criu,
    surroundings: &Surroundings<'_>,
    before: Before<'_>,
    request: &Message,
    attend: Attend<'_>,
) -> Result<Answer, Error> {
    let (own, other) = pair()?;
    let said = memfd_create("criu", MemfdFlags::CLOEXEC)
        .map_err(|errno| linux::Error::new("create", "a file in memory", errno))?;
    let options = CloneOptions {
        cgroup: surroundings.group.and_then(Group::v2_dirfd),
        close_in_child: Some(own.as_fd()),
        ..CloneOptions::default()
    };
    let process = linux::process::clone(token, &options, || {
        let Err(error) = become_criu(criu, surroundings, (&other, &said), before);
        let words = Answer::failed(&stdx::chain(&error));
        drop(linux::socket::send_with_fds(other.as_fd(), words.as_bytes(), &[]));
        linux::process::exit(1)
    })?;
    drop(other);
    let answer = begin(&process, &own, surroundings)
        .and_then(|socket| converse(&process, &socket, request, attend));
    // It ends at the end of the conversation, when the socket is closed.
    if matches!(answer, Err(Error::Criu { .. }) | Ok(_)) {
        drop(process.wait());
    } else {
        end(&process);
    }
    answer.map_err(|error| match error {
        Error::Criu { message } => Error::Criu { message: message + &last_words(&said) },
        error => error,
    })
}

/// What it has written to standard error, before it had a log.
fn last_words(said: &OwnedFd) -> String {
    let mut bytes = vec![0; 4096];
    let length = rustix::io::pread(said, &mut bytes, 0).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
    text.lines().map(|line| format!("\n  {line}")).collect()
}

fn pair() -> Result<(OwnedFd, OwnedFd), linux::Error> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| linux::Error::new("create", "a socket pair", errno))
}

/// The socket for the conversation. CRIU's process has made it itself: descriptors that a request
/// names are those of whoever made CRIU's socket.
fn begin(
    process: &PidFd,
    own: &OwnedFd,
    surroundings: &Surroundings<'_>,
) -> Result<OwnedFd, Error> {
    if let Some(group) = surroundings.group {
        group.add_v1(process.pid())?;
    }
    let (mut buffer, mut descriptors) = (vec![0; LONGEST], Vec::new());
    let length = linux::socket::receive_with_fds(own.as_fd(), &mut buffer, &mut descriptors)
        .map_err(|errno| linux::Error::new("hear from", "CRIU", errno))?;
    descriptors.pop().ok_or_else(|| {
        let answer = buffer.get(..length).and_then(Answer::read).unwrap_or_default();
        failed(&words(&answer))
    })
}

fn end(process: &PidFd) {
    drop(process.signal(9));
    drop(process.wait());
}

fn converse(
    process: &PidFd,
    socket: &OwnedFd,
    request: &Message,
    attend: Attend<'_>,
) -> Result<Answer, Error> {
    let say =
        |message: &Message| linux::socket::send_with_fds(socket.as_fd(), message.as_bytes(), &[]);
    // One that has ended already says why, or its silence does.
    drop(say(request));
    let mut own_failure = Ok(());
    let mut buffer = vec![0; LONGEST];
    loop {
        let mut descriptors = Vec::new();
        let length = hear(socket, &mut buffer, &mut descriptors);
        if length == 0 {
            own_failure?;
            return Err(failed("it ended without an answer"));
        }
        let heard = buffer.get(..length).and_then(Answer::read);
        let answer = heard.ok_or_else(|| failed("its answer is not understood"))?;
        let Some(notice) = answer.notice.as_ref().filter(|_| answer.success) else {
            own_failure?;
            hang_up(socket, &mut buffer);
            return if answer.success { Ok(answer) } else { Err(failed(&words(&answer))) };
        };
        let done = attend(process, notice, descriptors);
        drop(say(&rpc::go_on(done.is_ok())));
        if let Err(error) = done {
            own_failure = Err(error);
        }
    }
}

/// The length of the next message; 0 at the end. That a CRIU has ended with a word of ours unread is told
/// once, as an error, before what it had said itself.
fn hear(socket: &OwnedFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> usize {
    loop {
        match linux::socket::receive_with_fds(socket.as_fd(), buffer, descriptors) {
            Err(Errno::CONNRESET | Errno::INTR) => {}
            other => return other.unwrap_or_default(),
        }
    }
}

/// After a pre-dump CRIU waits for another request.
fn hang_up(socket: &OwnedFd, buffer: &mut [u8]) {
    let _told = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
    let mut listen = || {
        linux::socket::receive_with_fds(socket.as_fd(), buffer, &mut Vec::new()).unwrap_or_default()
    };
    while listen() != 0 {}
}

fn words(answer: &Answer) -> String {
    match (&answer.message, answer.errno) {
        (Some(message), _) => message.trim().to_owned(),
        (None, 0) => "it gives no reason".to_owned(),
        (None, code) => std::io::Error::from_raw_os_error(code.saturating_abs()).to_string(),
    }
}

fn failed(reason: &str) -> Error {
    Error::Criu { message: format!("CRIU failed: {reason}") }
}

/// In the new process.
fn become_criu(
    criu: &Criu,
    surroundings: &Surroundings<'_>,
    (socket, said): (&OwnedFd, &OwnedFd),
    before: Before<'_>,
) -> Result<Infallible, linux::Error> {
    linux::process::reset_signals();
    let opened = before()?;
    // Its helpers complain there of what need not be.
    rustix::stdio::dup2_stderr(said)
        .map_err(|errno| linux::Error::new("place", "standard error", errno))?;
    linux::process::close_on_exec_from(3)?;
    let opened = opened.iter().map(OwnedFd::as_fd);
    let (other, own) = pair()?;
    for descriptor in surroundings.keep.iter().copied().chain(opened).chain([own.as_fd()]) {
        rustix::io::fcntl_setfd(descriptor, FdFlags::empty())
            .map_err(|errno| linux::Error::new("pass on", "a descriptor", errno))?;
    }
    let number = own.as_raw_fd().to_string();
    let words = ["criu", "swrk", &number];
    let arguments = linux::process::strings(&words)?;
    let environment = linux::process::strings(&[format!("PATH={}", criu.search_path)])?;
    let path: Vec<CString> = linux::process::strings(&[&criu.program])?;
    linux::socket::send_with_fds(socket.as_fd(), &[0], &[other.as_fd()])?;
    drop(other);
    let errno = match path.first() {
        Some(path) => linux::process::exec(path, &arguments, &environment),
        None => Errno::NOENT,
    };
    let error = linux::Error::new("run", criu.program.display(), errno);
    let words = Answer::failed(&stdx::chain(&error));
    linux::socket::send_with_fds(own.as_fd(), words.as_bytes(), &[])?;
    Err(error)
}

/// Asks which CRIU it is, and refuses one that is too old.
pub(super) fn check_version(token: &SingleThreaded, criu: &Criu) -> Result<(), Error> {
    let version = simple(token, criu, Kind::Version)?.version;
    if version < OLDEST {
        let (major, minor) = (version / 10000, version / 100 % 100);
        return Err(Error::unsupported(format!(
            "CRIU {major}.{minor} is too old: 3.16 or a later one is needed"
        )));
    }
    Ok(())
}

/// Asks whether the kernel can say which memory changes, without which there is no pre-dump.
pub(super) fn check_memory_tracking(token: &SingleThreaded, criu: &Criu) -> Result<(), Error> {
    if simple(token, criu, Kind::Features)?.tracks_memory {
        return Ok(());
    }
    Err(Error::unsupported("pre-dump: CRIU or the kernel cannot tell which memory has changed"))
}

fn simple(token: &SingleThreaded, criu: &Criu, kind: Kind) -> Result<Answer, Error> {
    let nothing = Surroundings::default();
    ask(token, criu, &nothing, &|| Ok(Vec::new()), &rpc::question(kind), &mut |_, _, _| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::Criu;
    use std::path::Path;

    #[test]
    fn the_program_is_found_or_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("criu");
        let search = format!("/nonexistent::{}", directory.path().display());
        let error = Criu::find(None, &search).unwrap_err().to_string();
        assert!(error.contains("install the package criu"), "{error}");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Criu::find(None, &search).unwrap().program, path);
        assert!(Criu::find(Some(&path), "").is_ok());
        let error = Criu::find(Some(Path::new("/nonexistent/criu")), &search).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/criu"), "{error}");
    }
}
