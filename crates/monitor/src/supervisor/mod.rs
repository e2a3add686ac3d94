//! The monitor's loop: everything that happens around one running container.
//!
//! ```text
//! stdout, stderr, master ──▶ log (first, always) ──▶ attached clients (framed, or raw for a terminal)
//! clients ──▶ stdin, master          control connections ──▶ commands; events ──▶ all of them
//! pidfd ──▶ drain ──▶ cgroup gone ──▶ exit.json ──▶ door closed ──▶ Exited ──▶ Release ──▶ end
//! ```
//! One thread, one `epoll_wait`. It has a time-out only once after a burst of output, to give memory
//! back, and while no descriptor is left for those who connect; an idle container costs no wake-up.
//!
//! A client that does not read holds the container up once it is 1 MiB behind (as Docker does, and
//! as `run … | less` needs), unless it asked to be dropped instead. The log has then got everything
//! that was read.

mod client;
mod control;
mod ending;
mod exec;
mod key;
mod output;
mod process;
mod splice;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use linux::cgroup::{Group, OomWatch};
use linux::event::{Epoll, Interest, Ready, TimerFd};
use linux::process::{PidFd, SingleThreaded};
use observe::log::{Compression, Writer};

use self::client::{Client, HEADER};
use self::exec::Entering;
use self::key::Key;
use self::process::Process;
use self::splice::Splicer;
use crate::link::Link;
use crate::protocol::{AttachStreams, Event, Exit};
use crate::record::{Note, Record};

pub(crate) use self::control::failure;
pub(crate) use self::ending::{clear_door, write_exit};
pub(crate) use self::process::Ends;

/// The main process's number among the processes.
const MAIN: u32 = 0;

/// Bytes read at a time: what a pipe holds.
const PIECE: usize = 64 << 10;

/// How long after a burst of output its buffers are given back.
const IDLE: Duration = Duration::from_secs(1);

/// A running container and all that is connected to it.
#[derive(Debug)]
pub(crate) struct Supervisor {
    token: SingleThreaded,
    epoll: Epoll,
    record: Record,
    processes: BTreeMap<u32, Process>,
    /// Execs on their way.
    entering: BTreeMap<u32, Entering>,
    /// Children to be reaped at their end.
    dying: BTreeMap<u32, PidFd>,
    clients: BTreeMap<u32, Client>,
    controls: BTreeMap<u32, Link>,
    last_number: u32,
    listener: Option<OwnedFd>,
    /// The listener is not waited for: no descriptor is left for a connection.
    is_listener_resting: bool,
    log: Option<Writer>,
    compression: Option<(Compression, PidFd)>,
    group: Option<Group>,
    oom: Option<OomWatch>,
    oom_kills: u64,
    deadline: Option<TimerFd>,
    /// Bound sockets that keep the container's ports taken.
    held: Vec<OwnedFd>,
    splicer: Splicer,
    launcher: Link,
    /// The root mount, let go after the exit has been reported: until then unmounting it does not
    /// sync its file system.
    root: Option<OwnedFd>,
    /// Whether the main process is the launcher's child, not ours.
    is_adopted: bool,
    exit: Option<Exit>,
    is_released: bool,
    scratch: Vec<u8>,
    has_buffers: bool,
}

/// What a supervisor begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) record: Record,
    pub(crate) pidfd: PidFd,
    pub(crate) ends: Ends,
    pub(crate) log: Option<Writer>,
    pub(crate) group: Option<Group>,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) held: Vec<OwnedFd>,
    pub(crate) splices: Vec<(OwnedFd, std::net::SocketAddr)>,
    pub(crate) launcher: Link,
    pub(crate) root: Option<OwnedFd>,
    pub(crate) is_adopted: bool,
}

impl Supervisor {
    /// Begins to supervise; what cannot be waited for is left out.
    pub(crate) fn new(token: SingleThreaded, beginning: Beginning) -> Result<Self, linux::Error> {
        let oom = beginning.group.as_ref().and_then(|group| group.oom_events().ok());
        let mut supervisor = Self {
            token,
            epoll: Epoll::new()?,
            record: beginning.record,
            processes: BTreeMap::new(),
            entering: BTreeMap::new(),
            dying: BTreeMap::new(),
            clients: BTreeMap::new(),
            controls: BTreeMap::new(),
            last_number: 0,
            listener: beginning.listener,
            is_listener_resting: false,
            log: beginning.log,
            compression: None,
            group: beginning.group,
            oom,
            oom_kills: 0,
            deadline: None,
            held: beginning.held,
            splicer: Splicer::default(),
            launcher: beginning.launcher,
            root: beginning.root,
            is_adopted: beginning.is_adopted,
            exit: None,
            is_released: false,
            scratch: Vec::new(),
            has_buffers: false,
        };
        supervisor.allocate();
        let epoll = &supervisor.epoll;
        epoll.add(supervisor.launcher.as_fd(), Key::Launcher.encode(), Interest::IN)?;
        if let Some(listener) = &supervisor.listener {
            epoll.add(listener.as_fd(), Key::Listener.encode(), Interest::IN)?;
        }
        if let Some(oom) = &supervisor.oom {
            epoll.add(oom.as_fd(), Key::OutOfMemory.encode(), Interest::IN)?;
        }
        for (listener, target) in beginning.splices {
            supervisor.splicer.listen(&supervisor.epoll, listener, target)?;
        }
        supervisor.watch(MAIN, Process::new(None, beginning.pidfd, beginning.ends))?;
        Ok(supervisor)
    }

    /// Supervises until the container has ended and everybody who wants to know it does.
    ///
    /// # Errors
    /// When the kernel's event queue fails, which it does only for a bug.
    pub(crate) fn run(&mut self) -> Result<(), linux::Error> {
        let mut ready = Vec::new();
        while !self.is_finished() {
            let time = (self.has_buffers || self.takes_none()).then_some(IDLE);
            self.epoll.wait(time, &mut ready)?;
            if ready.is_empty() {
                self.release_buffers();
                self.take_again();
                continue;
            }
            self.allocate();
            for Ready { key, interest } in ready.iter().copied() {
                if let Some(key) = Key::decode(key) {
                    self.dispatch(key, interest);
                }
            }
            self.settle();
        }
        Ok(())
    }

    fn dispatch(&mut self, key: Key, interest: Interest) {
        match key {
            Key::Launcher => self.on_launcher(),
            Key::Listener => self.on_listener(),
            Key::OutOfMemory => self.on_oom(),
            Key::Deadline => self.on_deadline(),
            Key::Compression => self.on_compression(),
            Key::Exit(number) => self.on_exit(number),
            Key::Output(number, stream) => self.on_output(number, stream),
            Key::Input(number) => self.flush_input(number),
            Key::Client(number) => self.on_client(number, interest),
            Key::Control(number) => self.on_control(number),
            Key::SpliceListener(number) => self.splicer.accept(&self.epoll, number),
            Key::Splice(number) => self.splicer.pump(&self.epoll, number),
            Key::Entering(number) => self.on_exec(number),
            Key::Late(number) => self.on_late(number),
            Key::Reap(number) => self.on_reap(number),
        }
    }

    /// Tells the launcher what to keep in case this process is killed.
    pub(crate) fn hand_over_copies(&mut self) {
        let Some(process) = self.processes.get(&MAIN) else { return };
        let kept = process.kept();
        let streams = kept.iter().map(|(stream, _)| *stream).collect();
        let note = Note::Running { pid: process.pidfd.pid().as_raw_nonzero().get(), streams };
        let fds: Vec<BorrowedFd<'_>> = std::iter::once(process.pidfd.as_fd())
            .chain(kept.iter().map(|(_, fd)| fd.as_fd()))
            .collect();
        self.launcher.send_with_fds(&note, &fds);
    }

    /// Attaches a client to the main process.
    pub(crate) fn attach_main(&mut self, socket: OwnedFd, streams: AttachStreams) {
        self.attach(MAIN, socket, streams);
    }

    /// The container could not be started.
    pub(crate) fn abandon(&mut self) {
        self.let_ports_go();
    }

    /// Registers a process and its outputs.
    fn watch(&mut self, number: u32, process: Process) -> Result<(), linux::Error> {
        let process = self.processes.entry(number).or_insert(process);
        if !(number == MAIN && self.is_adopted) {
            let key = Key::Exit(number).encode();
            self.epoll.add(process.pidfd.as_fd(), key, Interest::IN)?;
        }
        for (stream, output) in process.outputs.iter().enumerate() {
            if let Some(output) = output {
                let key = Key::Output(number, stream).encode();
                self.epoll.add(output.as_fd(), key, Interest::IN)?;
            }
        }
        Ok(())
    }

    /// Takes back a registration that failed half-way: the process is ended.
    fn unwatch(&mut self, number: u32) {
        let Some(process) = self.processes.remove(&number) else { return };
        for output in process.outputs.iter().flatten() {
            self.epoll.remove(output.as_fd());
        }
        self.epoll.remove(process.pidfd.as_fd());
        drop(process.pidfd.signal(9));
        self.reap_later(process.pidfd);
    }

    fn wait_for(&self, fd: BorrowedFd<'_>, key: Key, interest: Interest) -> bool {
        self.epoll.add(fd, key.encode(), interest).is_ok()
    }

    fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1).max(1);
        self.last_number
    }

    /// Sends an event to everybody who controls.
    fn tell(&mut self, event: &Event) {
        let numbers: Vec<u32> = self.controls.keys().copied().collect();
        for number in numbers {
            if let Some(control) = self.controls.get_mut(&number) {
                control.send(event);
            }
            self.update_control(number);
        }
    }

    /// The scratch buffer is there while something happens.
    fn allocate(&mut self) {
        if self.scratch.is_empty() {
            self.scratch = vec![0; HEADER + PIECE];
        }
        self.has_buffers = true;
    }

    fn release_buffers(&mut self) {
        self.scratch = Vec::new();
        if let Some(log) = &mut self.log {
            log.release_buffers();
        }
        self.has_buffers = false;
        linux::footprint::trim(&self.token);
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
