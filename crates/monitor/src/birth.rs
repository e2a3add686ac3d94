//! A monitor's first moments: forked by the launcher, it makes and starts the container, or takes a
//! running one over.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::cgroup::{Group, Layout};
use linux::mount::OverlayOptions;
use linux::process::{PidFd, SingleThreaded};
use linux::signal;
use observe::log::Writer;
use rustix::process::Pid;
use storage::RootMount;

use crate::Error;
use crate::link::{Link, parse};
use crate::protocol::{AttachStreams, Event, Exit, Failure, FdRole, Launch, Started, VERSION};
use crate::protocol::{LaunchRequest, Log, SOCKET_FILE, Stdin};
use crate::record::{KeptStream, Record};
use crate::supervisor::{Beginning, Ends, Supervisor, clear_door, failure, now, write_exit};

/// What the launcher passes to a new monitor.
#[derive(Debug)]
pub(crate) struct Birth {
    /// The launch request as it was received: a [`LaunchRequest`] is parsed from it in the
    /// monitor's own memory.
    pub(crate) request: Vec<u8>,
    /// The descriptors that came with it.
    pub(crate) fds: Vec<OwnedFd>,
    /// The connection to the launcher.
    pub(crate) launcher: OwnedFd,
}

impl Birth {
    /// Everything that the monitor needs open.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().chain([&self.launcher]).map(AsFd::as_fd).collect()
    }
}

/// The descriptors of a launch by what they are for.
#[derive(Debug, Default)]
struct Given {
    control: Option<OwnedFd>,
    network_namespace: Option<OwnedFd>,
    held: Vec<OwnedFd>,
    splices: Vec<(OwnedFd, SocketAddr)>,
    attach: Vec<(OwnedFd, AttachStreams)>,
}

impl Given {
    fn sort(roles: Vec<FdRole>, fds: Vec<OwnedFd>) -> Self {
        let mut given = Self::default();
        for (role, fd) in roles.into_iter().zip(fds) {
            match role {
                FdRole::Control => given.control = Some(fd),
                FdRole::NetworkNamespace => given.network_namespace = Some(fd),
                FdRole::HeldPort => given.held.push(fd),
                FdRole::SpliceListener { target } => given.splices.push((fd, target)),
                FdRole::Attach(streams) => given.attach.push((fd, streams)),
            }
        }
        given
    }
}

/// The life of a monitor that starts a container; its exit code.
pub(crate) fn live(token: SingleThreaded, birth: Birth) -> i32 {
    // The launcher has looked at it already: only the specification itself can be wrong.
    let Ok(LaunchRequest { mut launch, fds: roles, .. }) = parse_request(&birth.request) else {
        return 1;
    };
    drop(birth.request);
    settle_in(&token, &launch.id);
    if let Some(process) = &mut launch.spec.process {
        as_of_nobody(process);
    }
    let mut given = Given::sort(roles, birth.fds);
    let control = given.control.take();
    match start(token, &launch, given, Link::new(birth.launcher)) {
        Ok((mut supervisor, started)) => {
            if let Some(control) = control {
                let number = supervisor.add_control(control);
                supervisor.tell_one(number, &Event::Started(started));
            }
            drop(launch);
            i32::from(supervisor.run().is_err())
        }
        Err(error) => {
            give_up(&launch, control, failure(&error));
            0
        }
    }
}

/// Tells that the container could not be started: on the connection, and in a file in case that the
/// daemon has just been killed.
fn give_up(launch: &Launch, control: Option<OwnedFd>, failure: Failure) {
    let exit = Exit {
        code: failure.exit_code,
        signal: None,
        oom_killed: false,
        at: now(),
        warnings: vec![failure.message.clone()],
    };
    drop(write_exit(&launch.run_directory, &exit));
    clear_door(&launch.run_directory);
    if let Some(control) = control {
        Link::new(control).send(&Event::Failed(failure));
    }
}

/// What every monitor does to itself: it belongs to no session of the user's, is not ended by
/// signals meant for the daemon, and shows its name.
fn settle_in(token: &SingleThreaded, id: &str) {
    let short = id.get(..12).unwrap_or(id);
    // None of these is needed for the container to run: the monitor goes on without.
    drop(linux::process::new_session());
    drop(signal::ignore(&[signal::HUP, signal::INT, signal::QUIT, signal::TERM, signal::PIPE]));
    drop(linux::title::set(token, &format!("brig: monitor {short}")));
    forget_standard_streams();
}

/// The daemon's terminal or pipe must not be held open by us.
pub(crate) fn forget_standard_streams() {
    forget_input_and_output();
    if let Some(null) = null() {
        _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// As [`forget_standard_streams`], but standard error stays.
pub(crate) fn forget_input_and_output() {
    if let Some(null) = null() {
        _ = rustix::stdio::dup2_stdin(&null);
        _ = rustix::stdio::dup2_stdout(&null);
    }
}

fn null() -> Option<OwnedFd> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).ok()
}

/// Makes the container and starts it; nothing of it stays when that fails.
fn start(
    token: SingleThreaded,
    launch: &Launch,
    given: Given,
    launcher: Link,
) -> Result<(Supervisor, Started), Error> {
    let root = mount_root(&launch.root)?;
    let kept_root = root.try_clone().ok();
    let log = open_log(launch.log.as_ref())?;
    let listener = Some(listen(&launch.run_directory)?);
    let (ends, stdio) = streams(launch, Record::of(launch).terminal)?;
    let request = runtime::CreateRequest {
        id: &launch.id,
        spec: &launch.spec,
        bundle: &launch.run_directory,
        rootfs: runtime::Rootfs::Mount(root),
        stdio,
        network_namespace: given.network_namespace,
        preserve_descriptors: 0,
        has_own_keyring: true,
        unit: None,
        gate: None,
    };
    let created = runtime::create(&token, request)?;
    let process = PidFd::from_parts(duplicate(&created.process)?, created.process.pid());
    let belongings = Belongings {
        ends,
        log,
        listener,
        held: given.held,
        splices: given.splices,
        attach: given.attach,
        launcher,
        root: kept_root,
    };
    let result = open_gate(token, launch, created, belongings);
    if result.is_err() {
        undo(&process, launch);
    }
    result
}

/// What a monitor has got ready for its container.
struct Belongings {
    ends: Ends,
    log: Option<Writer>,
    listener: Option<OwnedFd>,
    held: Vec<OwnedFd>,
    splices: Vec<(OwnedFd, SocketAddr)>,
    attach: Vec<(OwnedFd, AttachStreams)>,
    launcher: Link,
    root: Option<OwnedFd>,
}

/// Leaves all that another monitor would need to take the container over, and only then lets its
/// program run.
fn open_gate(
    token: SingleThreaded,
    launch: &Launch,
    mut created: runtime::Created,
    belongings: Belongings,
) -> Result<(Supervisor, Started), Error> {
    let ends = match created.terminal.take() {
        Some(master) => Ends::terminal(master, launch.stdin, launch.size)?,
        None => belongings.ends,
    };
    let started = started(&created.process);
    let mut record = Record::of(launch);
    record.started = Some(started.clone());
    record.write()?;
    let beginning = Beginning {
        record,
        pidfd: PidFd::from_parts(duplicate(&created.process)?, created.process.pid()),
        ends,
        log: belongings.log,
        group: created.cgroup.take(),
        listener: belongings.listener,
        held: belongings.held,
        splices: belongings.splices,
        launcher: belongings.launcher,
        root: belongings.root,
        is_adopted: false,
    };
    let mut supervisor = Supervisor::new(token, beginning)?;
    for (socket, streams) in belongings.attach {
        supervisor.attach_main(socket, streams);
    }
    supervisor.hand_over_copies();
    if let Err(error) = created.start() {
        supervisor.abandon();
        return Err(error.into());
    }
    Ok((supervisor, started))
}

/// Ends a process that has not run its program, and takes away what was made for it.
fn undo(process: &PidFd, launch: &Launch) {
    // It may have ended by itself; what led here says more than whatever fails now.
    drop(process.signal(9));
    drop(process.wait());
    let path = Record::of(launch).cgroup;
    if let (Some(path), Ok(layout)) = (path, Layout::detect()) {
        drop(Group::open(layout, &path).and_then(|group| group.delete()));
    }
}

/// What runs in a container has nothing of its monitor's privileges unless it says so itself: the OOM
/// killer does not spare it, and its soft limit of descriptors is the one that the launcher had
/// before it raised its own.
pub(crate) fn as_of_nobody(process: &mut oci::runtime::Process) {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if process.oom_score_adj.is_none() && own.starts_with('-') {
        process.oom_score_adj = Some(0);
    }
    let kind = "RLIMIT_NOFILE";
    if let Some(first) = FIRST_LIMIT.get()
        && process.rlimits.iter().all(|limit| limit.kind != kind)
    {
        let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let (soft, hard) = (first.unwrap_or(u64::MAX), hard.unwrap_or(u64::MAX));
        process.rlimits.push(oci::runtime::Rlimit { kind: kind.to_owned(), soft, hard });
    }
}

/// The soft limit of descriptors before it was raised; `None` inside is no limit.
static FIRST_LIMIT: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();

/// Raises the soft limit of descriptors to the hard one.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    FIRST_LIMIT.get_or_init(|| limit.current);
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn duplicate(process: &PidFd) -> Result<OwnedFd, linux::Error> {
    rustix::io::fcntl_dupfd_cloexec(process, 3)
        .map_err(|errno| linux::Error::new("duplicate", "a process's descriptor", errno))
}

fn mount_root(root: &RootMount) -> Result<OwnedFd, Error> {
    let RootMount::Overlay { lowers, upper, work, volatile } = root else {
        return Err(Error::Impossible("this kind of root file system is not known"));
    };
    Ok(linux::mount::overlay(&OverlayOptions {
        lowers,
        upper: Some(upper),
        work: Some(work),
        volatile: *volatile,
        user_attributes: false,
    })?)
}

fn open_log(log: Option<&Log>) -> Result<Option<Writer>, Error> {
    Ok(log.map(|log| Writer::open(&log.path, log.options)).transpose()?)
}

/// The control socket; one that a killed monitor left is replaced.
pub(crate) fn listen(run_directory: &Path) -> Result<OwnedFd, Error> {
    let path = run_directory.join(SOCKET_FILE);
    drop(std::fs::remove_file(&path));
    Ok(linux::socket::listen(&path, 16)?)
}

fn streams(launch: &Launch, has_terminal: bool) -> Result<(Ends, runtime::Stdio), Error> {
    if has_terminal {
        return Ok((Ends::default(), runtime::Stdio::Terminal));
    }
    let user = launch.spec.process.as_ref().map(|process| (process.user.uid, process.user.gid));
    Ends::pipes(launch.stdin, user.unwrap_or_default())
        .map_err(|errno| linux::Error::new("create", "the container's streams", errno).into())
}

fn started(pidfd: &PidFd) -> Started {
    let number = pidfd.pid().as_raw_nonzero().get();
    let pid = number.cast_unsigned();
    // 0 when the process has gone already.
    let start_time = runtime::state::start_time(number).unwrap_or(0);
    Started { pid, start_time, at: now(), monitor: std::process::id() }
}

/// What is left of a container whose monitor was killed.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) record: Record,
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) streams: Vec<(KeptStream, OwnedFd)>,
    pub(crate) held: Vec<OwnedFd>,
    pub(crate) splices: Vec<(OwnedFd, SocketAddr)>,
    /// The control socket: it listens already, so that nobody finds the door closed.
    pub(crate) listener: OwnedFd,
    pub(crate) launcher: OwnedFd,
}

impl Inheritance {
    /// Everything that the monitor needs open.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let streams = self.streams.iter().map(|(_, fd)| fd);
        let splices = self.splices.iter().map(|(fd, _)| fd);
        let all = streams.chain(&self.held).chain(splices);
        all.chain([&self.pidfd, &self.listener, &self.launcher]).map(AsFd::as_fd).collect()
    }
}

/// The life of a monitor that takes a container over; its exit code.
pub(crate) fn inherit(token: SingleThreaded, inheritance: Inheritance) -> i32 {
    settle_in(&token, &inheritance.record.id);
    let result = take_over(token, inheritance).and_then(|mut supervisor| {
        supervisor.hand_over_copies();
        Ok(supervisor.run()?)
    });
    i32::from(result.is_err())
}

fn take_over(token: SingleThreaded, inheritance: Inheritance) -> Result<Supervisor, Error> {
    let Inheritance { mut record, pid, pidfd, streams, held, splices, listener, launcher } =
        inheritance;
    if let Some(started) = &mut record.started {
        started.monitor = std::process::id();
    }
    let mut ends = Ends::default();
    for (stream, fd) in streams {
        match stream {
            KeptStream::Stdin => {
                ends.input.fd = Some(fd);
                ends.input.is_once = record.stdin == Stdin::Open { once: true };
            }
            KeptStream::Stdout => ends.outputs[0] = Some(fd),
            KeptStream::Stderr => ends.outputs[1] = Some(fd),
            KeptStream::Terminal => ends = Ends::terminal(fd, record.stdin, None)?,
        }
    }
    let group = match &record.cgroup {
        Some(path) => Group::open(Layout::detect()?, path).ok(),
        None => None,
    };
    let beginning = Beginning {
        pidfd: PidFd::from_parts(pidfd, pid),
        ends,
        // A log that cannot be opened now must not keep the container from being looked after.
        log: open_log(record.log.as_ref()).unwrap_or_default(),
        group,
        listener: Some(listener),
        held,
        splices,
        launcher: Link::new(launcher),
        root: None,
        is_adopted: true,
        record,
    };
    Ok(Supervisor::new(token, beginning)?)
}

/// Understands a launch request.
fn parse_request(frame: &[u8]) -> Result<LaunchRequest, Error> {
    let peer = || "the daemon".to_owned();
    let request: crate::protocol::Request =
        parse(frame).map_err(|source| Error::Message { peer: peer(), source })?;
    match request {
        crate::protocol::Request::Launch(request) if request.version == VERSION => Ok(*request),
        crate::protocol::Request::Launch(request) => {
            Err(Error::Version { theirs: request.version, ours: VERSION })
        }
        _ => Err(Error::Impossible("the request is no launch")),
    }
}

/// The descriptors that any child of the launcher needs besides its own: the cgroup hierarchies'
/// roots, which are opened once.
pub(crate) fn shared_descriptors() -> Vec<BorrowedFd<'static>> {
    let Ok(layout) = Layout::detect() else { return Vec::new() };
    layout.hierarchies().iter().map(linux::cgroup::Hierarchy::root).collect()
}
