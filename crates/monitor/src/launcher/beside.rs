//! What the launcher knows of one monitor, and keeps for the case that it is killed.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use linux::process::PidFd;
use rustix::process::Pid;

use crate::link::Link;
use crate::record::KeptStream;

/// One monitor.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) id: String,
    pub(super) run_directory: PathBuf,
    pub(super) monitor: PidFd,
    pub(super) link: Link,
    /// Copies of the ports' sockets, from the launch on.
    pub(super) held: Vec<OwnedFd>,
    pub(super) splices: Vec<(OwnedFd, SocketAddr)>,
    /// Once the container runs, until it has ended.
    pub(super) kept: Option<Kept>,
    /// The container has been started and has ended: its monitor may go.
    pub(super) has_ended: bool,
    /// How often a monitor was replaced.
    pub(super) replaced: u32,
}

/// The container itself.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) streams: Vec<(KeptStream, OwnedFd)>,
    /// How it ended, when that was told before its new monitor had begun.
    pub(super) reaped: Option<(i32, Option<i32>)>,
}

impl Beside {
    /// Closes everything kept.
    pub(super) fn let_go(&mut self) {
        self.held = Vec::new();
        self.splices = Vec::new();
        self.kept = None;
        self.has_ended = true;
    }

    /// Closes the kept end of standard input.
    pub(super) fn close_stdin(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.streams.retain(|(stream, _)| *stream != KeptStream::Stdin);
        }
    }
}
