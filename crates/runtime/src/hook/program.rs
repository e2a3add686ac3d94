//! Running one hook.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use linux::process::{Pid, PidFd};
use oci::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::io::Errno;

/// Why a hook failed, in words.
pub(super) type Reason = String;

/// Runs it to its end, or to the end of its time.
pub(super) fn run(hook: &Hook, state: &State, directory: Option<&Path>) -> Result<(), Reason> {
    let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let input = file_of(&text).map_err(|error| error.to_string())?;
    let (output, writer) = io::pipe().map_err(|error| error.to_string())?;
    rustix::io::ioctl_fionbio(&output, true).map_err(|error| error.to_string())?;
    let mut command = command(hook, directory);
    command.stdin(input).stdout(writer.try_clone().map_err(|error| error.to_string())?);
    command.stderr(writer);
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", hook.path))?;
    // With the last copy of the pipe's end that is ours.
    drop(command);
    let deadline = hook.timeout.and_then(|seconds| {
        Instant::now().checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
    });
    let mut said = Said { pipe: output.into(), text: Vec::new() };
    let in_time = wait(child.id(), &mut said, deadline).map_err(|errno| errno.to_string());
    if in_time != Ok(true) {
        drop(child.kill());
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    said.listen();
    if !in_time? {
        let seconds = hook.timeout.unwrap_or_default();
        return Err(said.after(format!("hook ran past specified timeout of {seconds} s")));
    }
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(said.after(format!("exit status {code}"))),
        (None, signal) => Err(said.after(format!("signal {}", signal.unwrap_or_default()))),
    }
}

fn command(hook: &Hook, directory: Option<&Path>) -> Command {
    let mut command = stdx::process::command(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear();
    // Each has one: `Hooks::plan`.
    command.envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    linux::process::reset_signals_of(&mut command);
    command
}

/// A file in memory, to be read from its beginning: unlike a pipe it never fills.
fn file_of(text: &[u8]) -> io::Result<Stdio> {
    let file = rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC)?;
    let mut rest = text;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

/// What a hook writes, as much of it as is worth telling.
struct Said {
    pipe: OwnedFd,
    text: Vec<u8>,
}

impl Said {
    const MOST: usize = 4096;

    /// Takes what is there; the rest must be taken too, or the hook would wait. Says whether there
    /// may be more.
    fn listen(&mut self) -> bool {
        let mut piece = [0; 4096];
        loop {
            match rustix::io::read(&self.pipe, &mut piece) {
                Ok(0) => return false,
                Ok(length) => {
                    let room = Self::MOST.saturating_sub(self.text.len());
                    self.text.extend(piece.iter().take(length.min(room)));
                }
                Err(Errno::INTR) => {}
                Err(error) => return error == Errno::AGAIN,
            }
        }
    }

    fn after(&self, reason: String) -> Reason {
        let text = String::from_utf8_lossy(&self.text);
        match text.trim() {
            "" => reason,
            text => format!("{reason}, output: {text}"),
        }
    }
}

/// Until the process has ended, or the time is over: says which. Descendants may keep the pipe.
fn wait(process: u32, said: &mut Said, deadline: Option<Instant>) -> Result<bool, Errno> {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let process = PidFd::open(number).map_err(|error| error.errno().unwrap_or(Errno::IO))?;
    let mut is_open = true;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().map_err(|_| Errno::INVAL)?;
        let pipe = said.pipe.as_fd();
        let mut waiting =
            [PollFd::new(&process, PollFlags::IN), PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
        let count = if is_open { 2 } else { 1 };
        match poll(&mut waiting[..count], left.as_ref()) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(false),
            Ok(_) => {}
        }
        if !waiting[0].revents().is_empty() {
            return Ok(true);
        }
        is_open = said.listen();
    }
}
