//! The launcher's loop.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::cgroup::{Group, Layout};
use linux::event::{Epoll, Interest, Ready};
use linux::process::{PidFd, SingleThreaded};
use linux::signal::{self, SignalFd};
use rustix::process::{Pid, WaitOptions, WaitStatus};
use serde::Deserialize;

use super::beside::{Beside, Kept};
use super::restart::{Lives, restart};
use super::{Options, pid};
use crate::Error;
use crate::birth::{self, Birth, Inheritance};
use crate::link::{Link, parse};
use crate::protocol::{Event, FdRole, LaunchRequest, Notice, Request, VERSION};
use crate::record::{Note, Record, Word};
use crate::supervisor::failure;

/// How often the monitor of one container is replaced.
const MOST_REPLACEMENTS: u32 = 5;

/// Keys of the loop: below the first monitor's number.
const CHILDREN: u64 = 0;
const DAEMON: u64 = 1;
const DAEMON_END: u64 = 2;
const FIRST_MONITOR: u64 = 16;

/// The launcher's state.
struct Server {
    token: SingleThreaded,
    options: Options,
    epoll: Epoll,
    children: SignalFd,
    daemon: Option<Daemon>,
    lives: Lives,
    monitors: BTreeMap<u64, Beside>,
    next_monitor: u64,
    stored: BTreeMap<String, Vec<OwnedFd>>,
    cgroup: Option<String>,
    /// The daemon will not come again.
    is_winding_up: bool,
}

/// The daemon's connection and process.
struct Daemon {
    link: Link,
    process: PidFd,
}

/// The launcher's whole life.
pub(super) fn live(socket: OwnedFd, daemon: PidFd, options: Options) -> Result<(), Error> {
    let token = SingleThreaded::claim()?;
    // Opened once, before anything is forked: every monitor shares them.
    let shared = birth::shared_descriptors();
    let mut keep = vec![socket.as_fd(), daemon.as_fd()];
    keep.extend(shared);
    linux::inherit::close_all_but(&token, &keep)?;
    settle_in(&token);
    let children = SignalFd::new(&[signal::CHLD])?;
    let epoll = Epoll::new()?;
    epoll.add(children.as_fd(), CHILDREN, Interest::IN)?;
    let mut server = Server {
        token,
        cgroup: None,
        epoll,
        children,
        daemon: None,
        lives: Lives::new(),
        monitors: BTreeMap::new(),
        next_monitor: FIRST_MONITOR,
        stored: BTreeMap::new(),
        is_winding_up: false,
        options,
    };
    server.enter_cgroup(server.options.cgroup.clone().as_deref());
    server.meet(socket, daemon)?;
    server.run()
}

/// As a monitor does, but standard error stays the daemon's, for the next daemon. None of it is
/// needed to work.
fn settle_in(token: &SingleThreaded) {
    drop(linux::process::new_session());
    drop(signal::ignore(&[signal::HUP, signal::INT, signal::QUIT, signal::TERM, signal::PIPE]));
    drop(linux::title::set(token, "brig: launcher"));
    birth::forget_input_and_output();
    // Orphans of a killed monitor come to us: so their exit status is known.
    drop(linux::process::set_child_subreaper(true));
    birth::raise_descriptor_limit();
    // Without the right to be spared by the OOM killer we are as likely a victim as anybody.
    drop(std::fs::write("/proc/self/oom_score_adj", "-999"));
}

impl Server {
    fn run(&mut self) -> Result<(), Error> {
        let mut ready = Vec::new();
        while !(self.is_winding_up && self.monitors.is_empty()) {
            self.epoll.wait(None, &mut ready)?;
            for Ready { key, .. } in ready.iter().copied() {
                match key {
                    CHILDREN => self.on_children(),
                    DAEMON => self.on_daemon(),
                    DAEMON_END => self.on_daemon_end(),
                    number => self.on_monitor(number),
                }
            }
        }
        Ok(())
    }

    /// Begins to serve a daemon.
    fn meet(&mut self, socket: OwnedFd, process: PidFd) -> Result<(), Error> {
        let link = Link::new(socket);
        self.epoll.add(link.as_fd(), DAEMON, Interest::IN)?;
        self.epoll.add(process.as_fd(), DAEMON_END, Interest::IN)?;
        self.daemon = Some(Daemon { link, process });
        Ok(())
    }

    fn part(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            self.epoll.remove(daemon.link.as_fd());
            self.epoll.remove(daemon.process.as_fd());
        }
    }

    /// The daemon's process has ended.
    fn on_daemon_end(&mut self) {
        // What it had sent before it died still counts.
        self.on_daemon();
        self.part();
        if self.is_winding_up {
            return;
        }
        let again = match &self.options.restart {
            Some(how) if self.lives.another() => restart(&self.token, how).ok(),
            _ => None,
        };
        let met = again.map(|(socket, process)| self.meet(socket, process));
        if !matches!(met, Some(Ok(()))) {
            self.wind_up();
        }
    }

    fn wind_up(&mut self) {
        self.is_winding_up = true;
        self.stored.clear();
        birth::forget_standard_streams();
    }

    /// The daemon asks for something, or has closed its connection.
    fn on_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        daemon.link.flush();
        let is_open = daemon.link.receive();
        while let Some(frame) = self.daemon.as_mut().and_then(|daemon| daemon.link.next_frame()) {
            self.obey(frame);
        }
        if let (false, Some(daemon)) = (is_open, &self.daemon) {
            // Its process tells whether it has crashed; the connection alone says nothing.
            self.epoll.remove(daemon.link.as_fd());
        }
    }

    fn obey(&mut self, frame: Vec<u8>) {
        // The specification is parsed by the monitor, in its own memory.
        if let Ok(Peek { launch: Some(launch) }) = parse::<Peek>(&frame) {
            self.launch(frame, launch);
            return;
        }
        match parse::<Request>(&frame) {
            Ok(Request::Store { key, count }) => {
                let fds = self.take_fds(count);
                self.stored.insert(key, fds);
            }
            Ok(Request::Retrieve { key }) => {
                let answer = self.take_fds(1);
                if let (Some(socket), Some(fds)) = (answer.first(), self.stored.get(&key)) {
                    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
                    // The asker may have gone.
                    drop(linux::socket::send_with_fds(socket.as_fd(), &[0], &fds));
                }
            }
            Ok(Request::Discard { key }) => drop(self.stored.remove(&key)),
            Ok(Request::Shutdown) => self.wind_up(),
            Ok(Request::Launch(_)) | Err(_) => {}
        }
    }

    fn take_fds(&mut self, count: usize) -> Vec<OwnedFd> {
        let link = self.daemon.as_mut().map(|daemon| &mut daemon.link);
        link.and_then(|link| link.take_fds(count)).unwrap_or_default()
    }

    /// Forks a monitor that makes a container.
    fn launch(&mut self, frame: Vec<u8>, peek: PeekRequest) {
        let fds = self.take_fds(peek.fds.len());
        let control = peek.fds.iter().position(|role| *role == FdRole::Control);
        let control = control.and_then(|at| fds.get(at)?.try_clone().ok());
        if let Err(error) = self.try_launch(frame, peek, fds)
            && let Some(control) = control
        {
            Link::new(control).send(&Event::Failed(failure(&error)));
        }
    }

    fn try_launch(
        &mut self,
        frame: Vec<u8>,
        peek: PeekRequest,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Error> {
        if peek.version != VERSION {
            return Err(Error::Version { theirs: peek.version, ours: VERSION });
        }
        if fds.len() != peek.fds.len() {
            return Err(Error::Impossible("descriptors of the launch are missing"));
        }
        self.enter_cgroup(peek.launch.monitor_cgroup.as_deref());
        let (ours, theirs) = linux::socket::stream_pair()?;
        let Ports { held, splices } = Ports::copy(&peek.fds, &fds).map_err(duplicate)?;
        let birth = Birth { request: frame, fds, launcher: theirs };
        let monitor = fork(&self.token, birth, Birth::descriptors, birth::live)?;
        self.add(Beside {
            id: peek.launch.id,
            run_directory: peek.launch.run_directory,
            monitor,
            link: Link::new(ours),
            held,
            splices,
            kept: None,
            has_ended: false,
            replaced: 0,
        })
    }

    fn add(&mut self, beside: Beside) -> Result<(), Error> {
        let number = self.next_monitor;
        self.next_monitor += 1;
        self.epoll.add(beside.link.as_fd(), number, Interest::IN)?;
        self.monitors.insert(number, beside);
        Ok(())
    }

    /// Moves the launcher, and with it all later monitors, into a group of its own. Where that
    /// cannot be done they stay where they are.
    fn enter_cgroup(&mut self, path: Option<&str>) {
        let Some(path) = path.filter(|path| self.cgroup.as_deref() != Some(path)) else { return };
        let Ok(layout) = Layout::detect() else { return };
        let group = Group::open(layout, path).or_else(|_| Group::create(layout, path));
        drop(group.and_then(|group| group.add(rustix::process::getpid())));
        self.cgroup = Some(path.to_owned());
    }

    /// A monitor says something.
    fn on_monitor(&mut self, number: u64) {
        let Some(beside) = self.monitors.get_mut(&number) else { return };
        let is_open = beside.link.receive();
        while let Some(frame) = beside.link.next_frame() {
            match parse::<Note>(&frame) {
                Ok(Note::Running { pid: raw, streams }) => {
                    let fds = beside.link.take_fds(streams.len() + 1).unwrap_or_default();
                    let mut fds = fds.into_iter();
                    if let (Some(pidfd), Some(pid)) = (fds.next(), pid(raw)) {
                        let reaped = beside.kept.as_ref().and_then(|kept| kept.reaped);
                        let streams = streams.into_iter().zip(fds).collect();
                        beside.kept = Some(Kept { pid, pidfd, streams, reaped });
                    }
                }
                Ok(Note::StdinClosed) => beside.close_stdin(),
                Ok(Note::Ended) => {
                    beside.let_go();
                    beside.link.send(&Word::Dropped);
                }
                Err(_) => {}
            }
        }
        if !is_open {
            // The monitor is dead or dying: its end is told by SIGCHLD.
            self.epoll.remove(beside.link.as_fd());
        }
    }

    /// Children have ended: monitors, a daemon, or orphans of killed monitors.
    fn on_children(&mut self) {
        self.children.drain();
        let mut dead = Vec::new();
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            dead.push((pid, status));
        }
        // Containers first: a monitor that died with its container leaves it to the next one.
        let is_monitor = |monitors: &BTreeMap<u64, Beside>, pid: Pid| {
            monitors.iter().find(|(_, beside)| beside.monitor.pid() == pid).map(|(key, _)| *key)
        };
        let orphans: Vec<(Pid, WaitStatus)> = dead
            .iter()
            .filter(|(pid, _)| is_monitor(&self.monitors, *pid).is_none())
            .copied()
            .collect();
        if !orphans.is_empty() {
            // A monitor may have said only with its last breath which container it had.
            let numbers: Vec<u64> = self.monitors.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.on_monitor(number));
        }
        for (pid, status) in orphans {
            self.on_orphan(pid, status);
        }
        for (pid, status) in dead {
            if let Some(number) = is_monitor(&self.monitors, pid) {
                self.on_monitor(number);
                self.on_monitor_end(number, status);
            }
        }
    }

    /// A process has ended that is no monitor: perhaps a container whose monitor was killed.
    fn on_orphan(&mut self, pid: Pid, status: WaitStatus) {
        let is_it = |beside: &&mut Beside| beside.kept.as_ref().is_some_and(|kept| kept.pid == pid);
        let Some(beside) = self.monitors.values_mut().find(is_it) else { return };
        let signal = status.terminating_signal();
        let code = status.exit_status().unwrap_or_else(|| 128 + signal.unwrap_or(0));
        if let Some(kept) = &mut beside.kept {
            kept.reaped = Some((code, signal));
        }
        if beside.replaced > 0 {
            beside.link.send(&Word::Reaped { code, signal });
        }
    }

    /// A monitor has ended. If its container has not, another one takes over.
    fn on_monitor_end(&mut self, number: u64, status: WaitStatus) {
        let Some(mut beside) = self.monitors.remove(&number) else { return };
        if beside.has_ended || status.exit_status() == Some(0) {
            return;
        }
        let cause = describe(status);
        let id = beside.id.clone();
        let result = match beside.kept.take() {
            Some(kept) if beside.replaced < MOST_REPLACEMENTS => self.replace(beside, kept),
            Some(_) => Err(Error::Impossible("its monitors die again and again")),
            None => Err(Error::Impossible("it had not been started")),
        };
        let notice = match result {
            Ok(()) => Notice::MonitorReplaced { id, cause },
            Err(error) => {
                let cause = format!("{cause}; {}", stdx::chain(&error));
                Notice::MonitorLost { id, cause }
            }
        };
        if let Some(daemon) = &mut self.daemon {
            daemon.link.send(&notice);
        }
    }

    /// Forks a monitor that takes a container over.
    fn replace(&mut self, beside: Beside, kept: Kept) -> Result<(), Error> {
        let record = Record::read(&beside.run_directory)?;
        let (ours, theirs) = linux::socket::stream_pair()?;
        let listener = birth::listen(&beside.run_directory)?;
        let door = Door { listener, launcher: theirs };
        let inheritance = inheritance(record, &beside, &kept, door).map_err(duplicate)?;
        let monitor = fork(&self.token, inheritance, Inheritance::descriptors, birth::inherit)?;
        let mut link = Link::new(ours);
        if let Some((code, signal)) = kept.reaped {
            link.send(&Word::Reaped { code, signal });
        }
        self.add(Beside {
            monitor,
            link,
            replaced: beside.replaced + 1,
            kept: Some(kept),
            ..beside
        })
    }
}

/// Duplicates of everything that a container's next monitor needs.
fn inheritance(
    record: Record,
    beside: &Beside,
    kept: &Kept,
    door: Door,
) -> std::io::Result<Inheritance> {
    let streams = kept.streams.iter().map(|(stream, fd)| Ok((*stream, fd.try_clone()?)));
    let held = beside.held.iter().map(OwnedFd::try_clone);
    let splices = beside.splices.iter().map(|(fd, target)| Ok((fd.try_clone()?, *target)));
    Ok(Inheritance {
        record,
        pid: kept.pid,
        pidfd: kept.pidfd.try_clone()?,
        streams: streams.collect::<std::io::Result<_>>()?,
        held: held.collect::<std::io::Result<_>>()?,
        splices: splices.collect::<std::io::Result<_>>()?,
        listener: door.listener,
        launcher: door.launcher,
    })
}

/// How a new monitor is reached: by anybody, and by its launcher.
struct Door {
    listener: OwnedFd,
    launcher: OwnedFd,
}

/// Forks a child that has nothing open but its belongings and what all children share.
fn fork<B>(
    token: &SingleThreaded,
    belongings: B,
    descriptors: impl FnOnce(&B) -> Vec<BorrowedFd<'_>>,
    life: impl FnOnce(SingleThreaded, B) -> i32,
) -> Result<PidFd, Error> {
    // The parent's copy of the belongings is dropped with the closure.
    let child = linux::process::spawn(token, move || -> Infallible {
        let mut keep = descriptors(&belongings);
        keep.extend(birth::shared_descriptors());
        let closed = linux::inherit::close_all_but(token, &keep);
        let code = match closed.and_then(|()| SingleThreaded::claim()) {
            Ok(token) => life(token, belongings),
            Err(_) => 1,
        };
        linux::process::exit(code)
    })?;
    Ok(child)
}

/// The sockets that hold a container's ports.
struct Ports {
    held: Vec<OwnedFd>,
    splices: Vec<(OwnedFd, SocketAddr)>,
}

impl Ports {
    fn copy(roles: &[FdRole], fds: &[OwnedFd]) -> std::io::Result<Self> {
        let mut ports = Self { held: Vec::new(), splices: Vec::new() };
        for (role, fd) in roles.iter().zip(fds) {
            match role {
                FdRole::HeldPort => ports.held.push(fd.try_clone()?),
                FdRole::SpliceListener { target } => {
                    ports.splices.push((fd.try_clone()?, *target));
                }
                FdRole::Control | FdRole::NetworkNamespace | FdRole::Attach(_) => {}
            }
        }
        Ok(ports)
    }
}

fn duplicate(source: std::io::Error) -> Error {
    Error::Socket {
        operation: "duplicate the descriptors of",
        peer: "a container".to_owned(),
        source,
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("the monitor exited with {code}"),
        (None, Some(signal)) => format!("the monitor was killed by signal {signal}"),
        (None, None) => "the monitor has ended".to_owned(),
    }
}

/// A request as far as the launcher needs to understand a launch.
#[derive(Deserialize)]
struct Peek {
    launch: Option<PeekRequest>,
}

#[derive(Deserialize)]
struct PeekRequest {
    version: u32,
    launch: PeekLaunch,
    fds: Vec<FdRole>,
}

#[derive(Deserialize)]
struct PeekLaunch {
    id: String,
    run_directory: std::path::PathBuf,
    monitor_cgroup: Option<String>,
}

/// The whole request stays in step with what is looked at here.
#[expect(dead_code, reason = "a check at compile time")]
fn peek_matches(request: LaunchRequest) -> PeekRequest {
    let LaunchRequest { version, launch, fds } = request;
    let launch = PeekLaunch {
        id: launch.id,
        run_directory: launch.run_directory,
        monitor_cgroup: launch.monitor_cgroup,
    };
    PeekRequest { version, launch, fds }
}
