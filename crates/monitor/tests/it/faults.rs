//! kill -9 of each of the processes; a full disk; memory.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use linux::process::SingleThreaded;
use monitor::client;
use monitor::launcher::{Options, Restart};
use monitor::protocol::{Command, Event, FdRole, Notice};
use oci::runtime::Memory;
use testkit::forked::Test;

use crate::world::{
    ALL, Attached, World, exited, is_alive, kill, next, release, started, wait_until,
};

pub(crate) const TESTS: &[Test] = &[
    ("faults::a_killed_monitor_is_replaced_and_nothing_is_lost", monitor_killed),
    ("faults::a_killed_monitors_terminal_goes_on", monitor_of_terminal_killed),
    ("faults::monitor_and_container_killed_together", both_killed),
    ("faults::both_killed_before_the_launcher_has_heard_of_the_container", killed_unheard),
    ("faults::the_replacement_is_replaced_too", killed_again),
    ("faults::a_killed_launcher_leaves_containers_and_monitors", launcher_killed),
    ("faults::monitor_and_launcher_killed_one_after_the_other", monitor_then_launcher),
    ("faults::a_killed_daemon_is_started_again", daemon_killed),
    ("faults::held_ports_are_free_when_the_exit_is_told", ports),
    ("faults::a_held_port_stays_held_when_the_monitor_is_replaced", port_stays),
    ("faults::a_full_disk_does_not_hold_the_container_up", full_disk),
    ("faults::a_monitor_that_does_not_read_is_not_waited_for", not_reading),
    ("faults::running_out_of_memory_is_told", out_of_memory),
];

fn notice(world: &World) -> Notice {
    use std::io::Read;
    let mut stream = UnixStream::from(world.launcher.notices().unwrap());
    stream.set_read_timeout(Some(crate::world::PATIENCE)).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    client::notice(&frame).unwrap()
}

fn replaced(world: &World) {
    match notice(world) {
        Notice::MonitorReplaced { .. } => {}
        lost @ Notice::MonitorLost { .. } => panic!("{lost:?}"),
    }
}

fn monitor_killed(token: &SingleThreaded) {
    let world = World::new(token);
    let script = "i=0; while read line; do echo $line; done; echo over; exit 6";
    let container = world.container(script).stdin(false);
    let control = world.launch(&container);
    let before = started(&control);
    let mut attached = Attached::to(&control, None, ALL);
    attached.write("one\n");
    wait_until(|| container.log() == "one\n");
    kill(before.monitor);
    assert!(control.receive().unwrap().is_none());
    assert_eq!(attached.frames()[0], "one\n");
    replaced(&world);
    let (control, snapshot) = container.reconnect();
    assert_eq!(snapshot.started.unwrap().pid, before.pid);
    let mut attached = Attached::to(&control, None, ALL);
    attached.write("two\n");
    wait_until(|| container.log() == "one\ntwo\n");
    // The container's input ends although the launcher has kept an end of it, too.
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(attached.frames()[0], "two\nover\n");
    assert_eq!(exited(&control).code, 6);
    assert_eq!(container.log(), "one\ntwo\nover\n");
    assert!(client::recorded_exit(container.run_directory()).unwrap().is_some());
    release(&control);
}

fn monitor_of_terminal_killed(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line; echo got $line").terminal().stdin(true);
    let (control, attached) = world.launch_attached(&container);
    kill(started(&control).monitor);
    attached.raw();
    replaced(&world);
    let (control, _) = container.reconnect();
    let mut attached = Attached::to(&control, None, ALL);
    attached.write("hello\n");
    assert_eq!(attached.raw(), "hello\r\ngot hello\r\n");
    assert_eq!(exited(&control).code, 0);
    release(&control);
}

fn both_killed(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("echo hello; sleep 1000");
    let control = world.launch(&container);
    let started = started(&control);
    wait_until(|| container.log() == "hello\n");
    kill(started.monitor);
    kill(started.pid);
    drop(control);
    replaced(&world);
    wait_until(|| client::recorded_exit(container.run_directory()).unwrap().is_some());
    let exit = client::recorded_exit(container.run_directory()).unwrap().unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

fn killed_unheard(token: &SingleThreaded) {
    use rustix::process::{Signal, kill_process};
    let world = World::new(token);
    let launcher = rustix::process::Pid::from_raw(world.children()[0].cast_signed()).unwrap();
    let container = world.container("sleep 1000");
    let control = world.launch(&container);
    wait_until(|| !crate::world::children_of(world.children()[0]).is_empty());
    kill_process(launcher, Signal::STOP).unwrap();
    let started = started(&control);
    kill(started.monitor);
    kill(started.pid);
    drop(control);
    kill_process(launcher, Signal::CONT).unwrap();
    wait_until(|| client::recorded_exit(container.run_directory()).unwrap().is_some());
    let exit = client::recorded_exit(container.run_directory()).unwrap().unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

fn killed_again(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line; exit 2").stdin(false);
    let control = world.launch(&container);
    let mut monitor = started(&control).monitor;
    for _ in 0..3 {
        kill(monitor);
        replaced(&world);
        monitor = container.reconnect().1.started.unwrap().monitor;
    }
    let (control, _) = container.reconnect();
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 2);
    release(&control);
}

fn launcher_killed(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line; echo over; exit 8").stdin(false);
    let control = world.launch(&container);
    let monitor = started(&control).monitor;
    for launcher in world.children() {
        kill(launcher);
        wait_until(|| !is_alive(launcher));
    }
    assert!(world.launcher.shutdown().is_err());
    drop(control);
    let (control, _) = container.reconnect();
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 8);
    release(&control);
    wait_until(|| !is_alive(monitor));
    assert_eq!(container.log(), "over\n");
}

/// The second monitor is no parent of the container, and nobody is left to tell it the exit.
fn monitor_then_launcher(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line; exit 8").stdin(false);
    let control = world.launch(&container);
    kill(started(&control).monitor);
    replaced(&world);
    let launcher = world.children()[0];
    kill(launcher);
    wait_until(|| !is_alive(launcher));
    let (control, _) = container.reconnect();
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 8);
    release(&control);
}

/// A first daemon (a fork of the test) starts a launcher and is killed; the second one is a shell
/// that says how it was called.
fn daemon_killed(token: &SingleThreaded) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("called");
    let script =
        format!("echo \"$0 $*\" > {path}.tmp; mv {path}.tmp {path}", path = path.display());
    let restart = Restart {
        executable: "/bin/busybox".into(),
        arguments: ["sh", "-c", &script, "daemon"].map(Into::into).to_vec(),
        environment: vec!["PATH=/bin".into()],
    };
    let daemon = linux::process::spawn(token, || {
        let token = SingleThreaded::claim().unwrap();
        let options = Options { restart: Some(restart), cgroup: None };
        let _launcher = monitor::launcher::start(&token, options).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)
            .unwrap();
        linux::process::exit(0)
    })
    .unwrap();
    let pid = daemon.pid().as_raw_nonzero().get().cast_unsigned();
    wait_until(|| {
        crate::world::children_of(pid).len() == 1 && {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            status.contains(") T ")
        }
    });
    let launcher = crate::world::children_of(pid)[0];
    // The launcher may still be settling in.
    wait_until(|| {
        std::fs::read_to_string(format!("/proc/{launcher}/comm")).unwrap() == "brig: launcher\n"
    });
    let start = std::time::Instant::now();
    kill(pid);
    daemon.wait().unwrap();
    wait_until(|| path.exists());
    let called = std::fs::read_to_string(&path).unwrap();
    assert!(called.starts_with("daemon --launcher-socket "), "{called}");
    println!("the daemon was started again after {:?}", start.elapsed());
    // That one ends at once: after three lives as short as that it is given up.
    wait_until(|| !is_alive(launcher));
}

fn ports(token: &SingleThreaded) {
    let world = World::new(token);
    for _ in 0..20 {
        let container = world.container("read line").stdin(false);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let control = world.launch_with(&container, &[(FdRole::HeldPort, socket.as_fd())]);
        drop(socket);
        started(&control);
        assert!(std::net::UdpSocket::bind(address).is_err());
        control.send(&Command::CloseStdin, None).unwrap();
        exited(&control);
        std::net::UdpSocket::bind(address).unwrap();
        release(&control);
    }
}

fn port_stays(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line").stdin(false);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let control = world.launch_with(&container, &[(FdRole::HeldPort, socket.as_fd())]);
    drop(socket);
    kill(started(&control).monitor);
    replaced(&world);
    let (control, _) = container.reconnect();
    assert!(std::net::TcpListener::bind(address).is_err());
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    std::net::TcpListener::bind(address).unwrap();
    release(&control);
}

fn full_disk(token: &SingleThreaded) {
    let world = World::new(token);
    let small = tempfile::tempdir().unwrap();
    let mut mount = stdx::process::command("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(small.path());
    stdx::process::output(&mut mount).unwrap();
    let mut container = world.container("head -c 3000000 /dev/zero | tr '\\0' x; exit 5");
    container.launch.log.as_mut().unwrap().path = small.path().join("log");
    let control = world.launch(&container);
    started(&control);
    let exit = exited(&control);
    assert_eq!(exit.code, 5);
    assert!(exit.warnings[0].contains("bytes of output are missing"), "{:?}", exit.warnings);
    release(&control);
    wait_until(|| {
        let mut unmount = stdx::process::command("umount");
        stdx::process::output(unmount.arg(small.path())).is_ok()
    });
}

fn out_of_memory(token: &SingleThreaded) {
    let world = World::new(token);
    let mut container = world.container("tail /dev/zero");
    let resources = container.launch.spec.linux.as_mut().unwrap().resources.get_or_insert_default();
    let limit = Some(16 << 20);
    resources.memory = Some(Memory { limit, swap: limit, ..Memory::default() });
    let control = world.launch(&container);
    started(&control);
    let mut was_told = false;
    let exit = loop {
        match next(&control) {
            Event::OutOfMemory => was_told = true,
            Event::Exited(exit) => break exit,
            other => panic!("{other:?}"),
        }
    };
    assert!(exit.oom_killed && exit.code != 0, "{exit:?}");
    assert!(was_told);
    release(&control);
}

fn not_reading(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read line; exit 4").stdin(false);
    let control = world.launch(&container);
    let monitor = i32::try_from(started(&control).monitor).unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::STOP).unwrap();
    let mut exec = container.exec("e1", "true");
    exec.process.env.push(format!("LONG={}", "x".repeat(1 << 20)));
    let command = Command::Exec(Box::new(exec));
    // Some are kept for it; at least three, whatever this machine allows.
    let refused = (0..100).find_map(|number| Some((number, control.send(&command, None).err()?)));
    let (number, error) = refused.unwrap();
    assert!(error.is_unresponsive() && number >= 3, "{number}: {error:?}");
    rustix::process::kill_process(monitor, rustix::process::Signal::CONT).unwrap();
    // What was taken was taken whole.
    for _ in 0..number {
        // Nobody can be given an environment as long as that.
        assert!(matches!(next(&control), Event::ExecFailed { .. }));
    }
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exited(&control).code, 4);
    release(&control);
}
