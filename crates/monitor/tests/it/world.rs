//! A launcher, and containers of busybox on overlays.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use linux::cgroup::{Group, Layout};
use linux::process::SingleThreaded;
use monitor::client::{Control, Launcher};
use monitor::launcher::{self, Options};
use monitor::protocol::{
    AttachStreams, Command, Event, Exec, Exit, FdRole, Launch, Log, Snapshot, Started, Stdin,
    WhenSlow,
};
use observe::log::{LogOptions, Query, Reader};
use oci::runtime::Spec;
use tempfile::TempDir;

const SPEC: &str = include_str!("../../../runtime/tests/it/default.json");

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// All streams, as `run` attaches them.
pub(crate) const ALL: AttachStreams =
    AttachStreams { stdin: true, stdout: true, stderr: true, when_slow: WhenSlow::Wait };

/// The daemon's side of a launcher.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) launcher: Launcher,
    parent: String,
}

impl World {
    pub(crate) fn new(token: &SingleThreaded) -> Self {
        Self::with_options(token, Options::default())
    }

    pub(crate) fn with_options(token: &SingleThreaded, options: Options) -> Self {
        let parent = format!("/brig-test-{}", stdx::hex::encode(&stdx::random::bytes::<4>()));
        let options = Options { cgroup: Some(format!("{parent}/monitors")), ..options };
        let launcher = launcher::start(token, options).unwrap();
        let directory = tempfile::tempdir().unwrap();
        testkit::image::busybox_root(&directory.path().join("lower"));
        Self { directory, launcher, parent }
    }

    /// A container that runs this script.
    pub(crate) fn container(&self, script: &str) -> Container {
        let id = stdx::random::hex_id();
        let base = self.directory.path().join(&id);
        for name in ["upper", "work", "run"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        let mut spec: Spec = serde_json::from_str(SPEC).unwrap();
        spec.linux.as_mut().unwrap().cgroups_path = Some(format!("{}/{id}", self.parent));
        let process = spec.process.as_mut().unwrap();
        process.args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let launch = Launch {
            id,
            run_directory: base.join("run"),
            spec,
            root: storage::RootMount::Overlay {
                lowers: vec![self.directory.path().join("lower")],
                upper: base.join("upper"),
                work: base.join("work"),
                volatile: false,
            },
            stdin: Stdin::Closed,
            size: None,
            log: Some(Log { path: base.join("log"), options: LogOptions::default() }),
            monitor_cgroup: None,
        };
        Container { launch }
    }

    pub(crate) fn launch(&self, container: &Container) -> Control {
        self.launcher.launch(&container.launch, &[]).unwrap()
    }

    pub(crate) fn launch_with(
        &self,
        container: &Container,
        fds: &[(FdRole, BorrowedFd<'_>)],
    ) -> Control {
        self.launcher.launch(&container.launch, fds).unwrap()
    }

    /// Launches with all streams attached.
    pub(crate) fn launch_attached(&self, container: &Container) -> (Control, Attached) {
        let (ours, theirs) = linux::socket::stream_pair().unwrap();
        let control = self.launch_with(container, &[(FdRole::Attach(ALL), theirs.as_fd())]);
        (control, Attached::new(ours))
    }

    pub(crate) fn children(&self) -> Vec<u32> {
        let own = std::process::id();
        children_of(own)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.launcher.shutdown());
        let layout = Layout::detect().unwrap();
        let Ok(group) = Group::open(layout, &self.parent) else { return };
        if std::thread::panicking() {
            group.kill().unwrap();
        }
        wait_until(|| group.processes().unwrap().is_empty());
        group.delete().unwrap();
    }
}

/// One container's launch.
pub(crate) struct Container {
    pub(crate) launch: Launch,
}

impl Container {
    pub(crate) fn run_directory(&self) -> &Path {
        &self.launch.run_directory
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.launch.log.as_ref().unwrap().path.clone()
    }

    /// Everything in the log.
    pub(crate) fn log(&self) -> String {
        let entries = Reader::open(&self.log_path(), Query::default()).unwrap();
        let bytes = entries.flat_map(|entry| entry.unwrap().bytes).collect();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn terminal(mut self) -> Self {
        self.launch.spec.process.as_mut().unwrap().terminal = true;
        self
    }

    pub(crate) fn stdin(mut self, once: bool) -> Self {
        self.launch.stdin = Stdin::Open { once };
        self
    }

    pub(crate) fn cgroup(&self) -> String {
        self.launch.spec.linux.as_ref().unwrap().cgroups_path.clone().unwrap()
    }

    pub(crate) fn reconnect(&self) -> (Control, Snapshot) {
        let control = Control::connect(self.run_directory()).unwrap();
        match next(&control) {
            Event::Snapshot(snapshot) => (control, snapshot),
            other => panic!("{other:?}"),
        }
    }

    /// An exec of a script.
    pub(crate) fn exec(&self, id: &str, script: &str) -> Exec {
        let mut process = self.launch.spec.process.clone().unwrap();
        process.terminal = false;
        process.args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Exec { id: id.to_owned(), process, stdin: Stdin::Closed, size: None, attach: None }
    }
}

pub(crate) fn next(control: &Control) -> Event {
    control.receive().unwrap().expect("the monitor is gone")
}

pub(crate) fn started(control: &Control) -> Started {
    match next(control) {
        Event::Started(started) => started,
        other => panic!("{other:?}"),
    }
}

/// The exit, past anything else.
pub(crate) fn exited(control: &Control) -> Exit {
    loop {
        match next(control) {
            Event::Exited(exit) => return exit,
            Event::Failed(failure) => panic!("{failure:?}"),
            _ => {}
        }
    }
}

/// Lets the monitor go and waits until it has gone.
pub(crate) fn release(control: &Control) {
    control.send(&Command::Release, None).unwrap();
    assert!(control.receive().unwrap().is_none());
}

/// A client of an attach socket.
pub(crate) struct Attached {
    pub(crate) stream: UnixStream,
}

impl Attached {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        let stream = UnixStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Attaches to a running process.
    pub(crate) fn to(control: &Control, exec: Option<&str>, streams: AttachStreams) -> Self {
        let (ours, theirs) = linux::socket::stream_pair().unwrap();
        let command = Command::Attach { exec: exec.map(str::to_owned), streams };
        control.send(&command, Some(theirs.as_fd())).unwrap();
        Self::new(ours)
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn end_input(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Both streams to their end.
    pub(crate) fn frames(mut self) -> [String; 2] {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        let mut streams = [Vec::new(), Vec::new()];
        while let Some((header, after)) = rest.split_first_chunk::<8>() {
            let [kind, 0, 0, 0, length @ ..] = header else { panic!("{header:?}") };
            let (payload, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            streams[usize::from(*kind) - 1].extend_from_slice(payload);
            rest = after;
        }
        assert!(rest.is_empty());
        streams.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// Raw bytes to the end.
    pub(crate) fn raw(mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).unwrap();
        text
    }

    /// Raw bytes up to and with this text.
    pub(crate) fn read_until(&mut self, wanted: &str) -> String {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(wanted) {
            let mut byte = [0];
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "{bytes:?}");
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// Waits for something that nothing tells of: looks again after growing pauses.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "it does not come");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !matches!(status.rsplit_once(") "), None | Some((_, "Z"))) && !status.contains(") Z ")
}
