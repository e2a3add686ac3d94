//! Starting a daemon because a command needs one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use linux::event::{Epoll, Interest};
use linux::process::{Pid, PidFd};

use crate::{Error, Result, Roots, log, ready};

/// How long a daemon that is ending may take before somebody is told that it hangs.
const ENDING: Duration = Duration::from_secs(20);

/// Lines of the daemon's log shown when it does not start.
const LINES: usize = 5;

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// Where it keeps its things.
    pub roots: Roots,
    /// The arguments of its command line behind the program's name, such as `--root DIR daemon
    /// --on-demand`.
    pub arguments: Vec<OsString>,
    /// All of its environment: proxies, and nothing of the command's session.
    pub environment: Vec<(OsString, OsString)>,
}

/// Starts a daemon unless one answers, and returns when it serves. Of several commands that come
/// here at the same time, one starts it and the others wait; so does one that comes while the
/// launcher starts a killed daemon again. A daemon that is just ending is waited for.
///
/// # Errors
/// `NotStarted` with what the daemon said and the end of its log; `NotAnswering` when a daemon holds
/// the root without serving.
pub fn start_on_demand(start: &Start) -> Result<()> {
    let roots = &start.roots;
    let socket = roots.socket();
    let layout = roots.layout();
    let _lock = layout.start_lock().map_err(|error| {
        Error::io("lock", roots.run.join("start.lock").display().to_string(), error)
    })?;
    if UnixStream::connect(&socket).is_ok() {
        return Ok(());
    }
    let owner = || {
        let owner = layout.owner();
        owner.map_err(|error| Error::io("look at", roots.data.display().to_string(), error))
    };
    // Whoever starts holds the lock that we have: this one does not start, it ends.
    let begun = Instant::now();
    while let Some(pid) = owner()? {
        if !ends(pid, ENDING.saturating_sub(begun.elapsed())) {
            return Err(Error::NotAnswering { pid, root: roots.data.clone() });
        }
    }
    let log = open_log(roots)?;
    let known = log.metadata().map_or(0, |found| found.len());
    spawn(start, log).and_then(wait).map_err(|reason| {
        let log = log::tail(&roots.log(), known, LINES);
        Error::NotStarted { reason, log }
    })
}

/// Waits until a process has ended; `false` when it has not in time.
fn ends(pid: u32, time: Duration) -> bool {
    if time.is_zero() {
        return false;
    }
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(process) = PidFd::open(pid) else { return true };
    let waited = || {
        let epoll = Epoll::new()?;
        epoll.add(process.as_fd(), 0, Interest::IN)?;
        let mut ready = Vec::new();
        epoll.wait(Some(time), &mut ready)?;
        Ok::<_, linux::Error>(!ready.is_empty())
    };
    waited().unwrap_or(false)
}

/// The log, where also goes what is said before it is set up, or in a panic.
fn open_log(roots: &Roots) -> Result<File> {
    let path = roots.log();
    let failed = |error| Error::io("open", path.display().to_string(), error);
    fs::DirBuilder::new().recursive(true).mode(0o710).create(&roots.data).map_err(failed)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)
}

type Announcements = BufReader<std::process::ChildStdout>;

/// The new process's standard output.
fn spawn(start: &Start, log: File) -> Result<Announcements, String> {
    let mut command = stdx::process::command(program());
    command
        .args(&start.arguments)
        .env_clear()
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    // A command may have been started with signals blocked or ignored, as by nohup(1).
    linux::process::reset_signals_of(&mut command);
    let mut child = command.spawn().map_err(|error| format!("it cannot be executed: {error}"))?;
    let stdout = child.stdout.take();
    stdout.map(BufReader::new).ok_or_else(|| "its output is not connected".to_owned())
}

/// This very program, also when its file has been replaced.
fn program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Waits for the line that says how it went. (Processes the daemon has forked hold the other end
/// too: only its line counts, or the end of all of them.)
fn wait(mut announcements: Announcements) -> Result<(), String> {
    let mut line = String::new();
    loop {
        line.clear();
        let count =
            announcements.read_line(&mut line).map_err(|error: io::Error| error.to_string())?;
        if count == 0 {
            return Err("it ended without saying why".to_owned());
        }
        let line = line.trim_end();
        if line == ready::LINE {
            return Ok(());
        }
        if let Some(reason) = line.strip_prefix(ready::FAILED) {
            return Err(reason.to_owned());
        }
    }
}
