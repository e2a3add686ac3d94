//! One process of the container: its descriptor, its streams, how it ended.

use std::os::fd::{AsFd, OwnedFd};

use linux::process::{ExitStatus, PidFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Uid};

use crate::protocol::{Size, Stdin};
use crate::record::KeptStream;

/// A process and our ends of its streams.
#[derive(Debug)]
pub(super) struct Process {
    /// An exec's id; the main process has none.
    pub(super) exec: Option<String>,
    pub(super) pidfd: PidFd,
    pub(super) input: Input,
    /// Standard output (or the terminal) and standard error, until they end.
    pub(super) outputs: [Option<OwnedFd>; 2],
    pub(super) has_terminal: bool,
    /// A client is too far behind: nothing is read.
    pub(super) is_paused: bool,
    /// How and when (nanoseconds since 1970) it ended.
    pub(super) ended: Option<(Ended, u64)>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        let signal = match status {
            ExitStatus::Code(_) => None,
            ExitStatus::Signal { number, .. } => Some(number),
        };
        Self { code: status.code(), signal }
    }
}

/// The input of a process.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The pipe's writing end, or a duplicate of the terminal's master.
    pub(crate) fd: Option<OwnedFd>,
    /// Taken from clients, not yet taken by the process.
    pub(super) pending: Vec<u8>,
    /// Ends with the first client that had it.
    pub(crate) is_once: bool,
    /// To be closed when nothing is pending.
    pub(super) is_ending: bool,
    /// Waited for by epoll.
    pub(super) is_watched: bool,
}

impl Process {
    pub(super) fn new(exec: Option<String>, pidfd: PidFd, ends: Ends) -> Self {
        Self {
            exec,
            pidfd,
            input: ends.input,
            outputs: ends.outputs,
            has_terminal: ends.has_terminal,
            is_paused: false,
            ended: None,
        }
    }

    /// The terminal's master.
    pub(super) fn terminal(&self) -> Option<&OwnedFd> {
        self.outputs[0].as_ref().filter(|_| self.has_terminal)
    }

    /// Whether it has ended and nothing more comes from it.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && self.outputs.iter().all(Option::is_none)
    }

    /// The descriptors that the launcher is to keep.
    pub(super) fn kept(&self) -> Vec<(KeptStream, &OwnedFd)> {
        if let Some(terminal) = self.terminal() {
            return vec![(KeptStream::Terminal, terminal)];
        }
        let input = self.input.fd.iter().map(|fd| (KeptStream::Stdin, fd));
        let output = self.outputs[0].iter().map(|fd| (KeptStream::Stdout, fd));
        let error = self.outputs[1].iter().map(|fd| (KeptStream::Stderr, fd));
        input.chain(output).chain(error).collect()
    }
}

/// Our ends of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) input: Input,
    pub(crate) outputs: [Option<OwnedFd>; 2],
    pub(crate) has_terminal: bool,
}

impl Ends {
    /// Makes pipes: our ends, which do not block, and the process's, which belong to its user so
    /// that it can open `/dev/stdout` again.
    pub(crate) fn pipes(stdin: Stdin, owner: (u32, u32)) -> Result<(Self, runtime::Stdio), Errno> {
        let (output, stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&output, true)?;
        rustix::io::ioctl_fionbio(&errors, true)?;
        let mut input = Input::default();
        let stdin = match stdin {
            Stdin::Closed => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                rustix::fs::open("/dev/null", flags, Mode::empty())?
            }
            Stdin::Open { once } => {
                let (reading, writing) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                rustix::io::ioctl_fionbio(&writing, true)?;
                give(&reading, owner)?;
                input.fd = Some(writing);
                input.is_once = once;
                reading
            }
        };
        give(&stdout, owner)?;
        give(&stderr, owner)?;
        let ends = Self { input, outputs: [Some(output), Some(errors)], has_terminal: false };
        Ok((ends, runtime::Stdio::Descriptors { stdin, stdout, stderr }))
    }

    /// Our end of a terminal.
    pub(crate) fn terminal(
        master: OwnedFd,
        stdin: Stdin,
        size: Option<Size>,
    ) -> Result<Self, linux::Error> {
        let refuse = |errno| linux::Error::new("prepare", "a terminal", errno);
        rustix::io::ioctl_fionbio(&master, true).map_err(refuse)?;
        if let Some(size) = size {
            resize(&master, size)?;
        }
        let mut input = Input::default();
        if stdin != Stdin::Closed {
            input.fd = Some(rustix::io::fcntl_dupfd_cloexec(&master, 3).map_err(refuse)?);
        }
        Ok(Self { input, outputs: [Some(master), None], has_terminal: true })
    }
}

pub(super) fn resize(terminal: &OwnedFd, size: Size) -> Result<(), linux::Error> {
    let size = linux::pty::Size { rows: size.height, columns: size.width };
    linux::pty::set_size(terminal.as_fd(), size)
}

fn give(fd: &OwnedFd, (user, group): (u32, u32)) -> Result<(), Errno> {
    if (user, group) == (0, 0) {
        return Ok(());
    }
    // Only anonymous pipes are given away, never `/dev/null`.
    rustix::fs::fchown(fd, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
}
