//! Start, run, exit, reconnect, release.

use linux::cgroup::{Group, Layout};
use linux::process::SingleThreaded;
use monitor::client::{self, Control};
use monitor::protocol::{Command, Event, Stdin};
use testkit::forked::Test;

use crate::world::{World, exited, is_alive, next, release, started, wait_until};

pub(crate) const TESTS: &[Test] = &[
    ("life::a_container_runs_is_logged_and_its_exit_is_told", runs),
    ("life::a_signal_is_an_exit_status_too", signals),
    ("life::what_cannot_be_started_says_why", failures),
    ("life::a_failure_at_the_gate_leaves_nothing", late_failure),
    ("life::a_daemon_that_comes_back_finds_everything", reconnect),
    ("life::a_late_monitor_leaves_its_successor_alone", successor),
    ("life::without_a_daemon_the_exit_is_left_in_a_file", alone),
    ("life::nothing_is_left_behind", clean),
    ("life::a_monitor_is_named_and_stands_for_itself", named),
    ("life::descriptors_are_stored_and_given_back", stored),
    ("life::a_command_that_is_not_known_is_refused", unknown),
];

fn runs(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("echo out; echo err >&2; exit 7");
    let control = world.launch(&container);
    let started = started(&control);
    assert!(started.pid > 1 && started.start_time > 0);
    let exit = exited(&control);
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (7, None, false));
    assert_eq!(exit.warnings, [""; 0]);
    assert!(exit.at >= started.at);
    let log = container.log();
    assert!(log == "out\nerr\n" || log == "err\nout\n", "{log}");
    assert_eq!(client::recorded_exit(container.run_directory()).unwrap(), Some(exit));
    release(&control);
}

fn signals(token: &SingleThreaded) {
    let world = World::new(token);
    let container =
        world.container("trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 1; done");
    let control = world.launch(&container);
    started(&control);
    wait_until(|| container.log() == "ready\n");
    control.send(&Command::Signal { exec: None, signal: 15 }, None).unwrap();
    assert_eq!(exited(&control).code, 3);
    release(&control);
    let container = world.container("sleep 1000");
    let control = world.launch(&container);
    started(&control);
    control.send(&Command::Signal { exec: None, signal: 9 }, None).unwrap();
    let exit = exited(&control);
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    release(&control);
}

fn failures(token: &SingleThreaded) {
    let world = World::new(token);
    for (command, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let mut container = world.container("");
        container.launch.spec.process.as_mut().unwrap().args = vec![command.to_owned()];
        let control = world.launch(&container);
        match next(&control) {
            Event::Failed(failure) => {
                assert_eq!(failure.exit_code, code, "{failure:?}");
                assert!(failure.message.contains(command), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
        assert!(control.receive().unwrap().is_none());
        assert!(Group::open(Layout::detect().unwrap(), &container.cgroup()).is_err());
    }
    let mut container = world.container("true");
    container.launch.root = storage::RootMount::Overlay {
        lowers: vec!["/no/such/layer".into()],
        upper: "/no/such/upper".into(),
        work: "/no/such/work".into(),
        volatile: false,
    };
    match next(&world.launch(&container)) {
        Event::Failed(failure) => assert_eq!(failure.exit_code, 125),
        other => panic!("{other:?}"),
    }
}

/// The container waits at its gate already when its monitor cannot go on.
fn late_failure(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("sleep 1000");
    std::fs::create_dir_all(container.run_directory().join("monitor.json/taken")).unwrap();
    let control = world.launch(&container);
    match next(&control) {
        Event::Failed(failure) => {
            assert!(failure.message.contains("monitor.json"), "{failure:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(control.receive().unwrap().is_none());
    assert!(Group::open(Layout::detect().unwrap(), &container.cgroup()).is_err());
}

fn reconnect(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("echo one; read line; exit 5").stdin(false);
    let control = world.launch(&container);
    let started = started(&control);
    drop(control);
    let (control, snapshot) = container.reconnect();
    assert_eq!(snapshot.id, container.launch.id);
    assert_eq!((snapshot.started, snapshot.exit), (Some(started), None));
    // Two daemons' connections at once hear the same.
    let (other, _) = container.reconnect();
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 5);
    assert_eq!(exited(&other).code, 5);
    // Who comes later reads it.
    assert!(Control::connect(container.run_directory()).unwrap_err().nobody_listens());
    let recorded = client::recorded_exit(container.run_directory()).unwrap().unwrap();
    assert_eq!(recorded.code, 5);
    drop(other);
    release(&control);
}

/// A monitor that still has a slow client leaves alone what the container's next one has made.
fn successor(token: &SingleThreaded) {
    let world = World::new(token);
    let mut container = world.container("head -c 900000 /dev/zero");
    let (old, client) = world.launch_attached(&container);
    let old_monitor = started(&old).monitor;
    exited(&old);
    let script = "read line; exit 3";
    container.launch.spec.process.as_mut().unwrap().args =
        ["sh", "-c", script].map(str::to_owned).to_vec();
    container.launch.stdin = Stdin::Open { once: false };
    let control = world.launch(&container);
    let new_monitor = started(&control).monitor;
    assert!(is_alive(old_monitor));
    assert_eq!(client.frames()[0].len(), 900_000);
    release(&old);
    wait_until(|| !is_alive(old_monitor));
    assert_eq!(container.reconnect().1.started.unwrap().monitor, new_monitor);
    control.send(&Command::Exec(Box::new(container.exec("e", "exit 4"))), None).unwrap();
    assert!(matches!(next(&control), Event::ExecStarted { .. }));
    assert!(matches!(next(&control), Event::ExecExited { exit, .. } if exit.code == 4));
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 3);
    release(&control);
}

fn alone(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("sleep 0.1; echo last; exit 9");
    let control = world.launch(&container);
    let monitor = started(&control).monitor;
    drop(control);
    wait_until(|| !is_alive(monitor));
    let exit = client::recorded_exit(container.run_directory()).unwrap().unwrap();
    assert_eq!(exit.code, 9);
    assert_eq!(container.log(), "last\n");
}

fn clean(token: &SingleThreaded) {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let world = World::new(token);
    let container = world.container("sleep 1000 & exit 0");
    let control = world.launch(&container);
    let monitor = started(&control).monitor;
    exited(&control);
    assert!(Group::open(Layout::detect().unwrap(), &container.cgroup()).is_err());
    release(&control);
    wait_until(|| !is_alive(monitor));
    let left: Vec<_> = std::fs::read_dir(container.run_directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["exit.json"]);
    assert_eq!(mounts(), before);
    let launcher = world.children();
    world.launcher.shutdown().unwrap();
    wait_until(|| launcher.iter().all(|pid| !is_alive(*pid)));
}

fn named(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line").stdin(false);
    let control = world.launch(&container);
    let started = started(&control);
    let read =
        |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", started.monitor)).unwrap();
    assert!(read("comm").starts_with("brig: monitor "), "{}", read("comm"));
    let title = format!("brig: monitor {}", container.launch.id.get(..12).unwrap());
    assert!(title.starts_with(read("cmdline").trim_end_matches('\0')));
    let fields = read("stat");
    let session = fields.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap();
    assert_eq!(session, started.monitor.to_string());
    assert!(read("cgroup").lines().all(|line| line.ends_with("/monitors")), "{}", read("cgroup"));
    for signal in [1, 2, 3, 15] {
        let pid = rustix::process::Pid::from_raw(started.monitor.cast_signed()).unwrap();
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    release(&control);
}

fn stored(token: &SingleThreaded) {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let world = World::new(token);
    let file = tempfile::tempfile().unwrap();
    world.launcher.store("names", &[file.as_fd(), file.as_fd()]).unwrap();
    let fds = world.launcher.retrieve("names").unwrap();
    let inodes: Vec<u64> =
        fds.into_iter().map(|fd| std::fs::File::from(fd).metadata().unwrap().ino()).collect();
    assert_eq!(inodes, [file.metadata().unwrap().ino(); 2]);
    world.launcher.discard("names").unwrap();
    assert!(world.launcher.retrieve("names").unwrap().is_empty());
}

fn unknown(token: &SingleThreaded) {
    use std::io::Write;
    let world = World::new(token);
    let container = world.container("read line").stdin(false);
    let control = world.launch(&container);
    started(&control);
    let mut raw = std::os::unix::net::UnixStream::from(control.events().unwrap());
    let frame = stdx::frame::encode(br#"{"teleport":{"to":"mars"}}"#).unwrap();
    raw.write_all(&frame).unwrap();
    match next(&control) {
        Event::Refused { command, .. } => assert_eq!(command, "teleport"),
        other => panic!("{other:?}"),
    }
    control.send(&Command::Signal { exec: Some("none".to_owned()), signal: 9 }, None).unwrap();
    match next(&control) {
        Event::Refused { command, exec, failure } => {
            assert_eq!((command.as_str(), exec.as_deref()), ("signal", Some("none")));
            assert_eq!(failure.kind, stdx::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    release(&control);
}
