//! More processes in a running container.

use std::os::fd::AsFd;

use linux::cgroup::{Group, Layout};
use linux::process::SingleThreaded;
use monitor::client::Control;
use monitor::protocol::{Command, Event, Exec, Exit, Size, Stdin};
use testkit::forked::Test;

use crate::world::{ALL, Attached, Container, World, exited, next, release, started, wait_until};

pub(crate) const TESTS: &[Test] = &[
    ("exec::runs_beside_the_main_process", runs),
    ("exec::input_and_its_end_reach_it", input),
    ("exec::has_a_terminal_of_its_own", terminal),
    ("exec::what_cannot_run_says_why", failures),
    ("exec::ends_with_the_container", ends_with_container),
    ("exec::background_processes_do_not_hold_its_end_back", background),
    ("exec::many_at_once", many),
    ("exec::one_that_hangs_on_its_way_holds_nothing_up", hanging),
    ("exec::a_container_that_stops_it_stops_nothing_else", stopped),
    ("exec::has_the_descriptor_limit_of_before", limit),
];

fn attached(control: &Control, mut exec: Exec) -> Attached {
    let (ours, theirs) = linux::socket::stream_pair().unwrap();
    exec.attach = Some(ALL);
    control.send(&Command::Exec(Box::new(exec)), Some(theirs.as_fd())).unwrap();
    Attached::new(ours)
}

fn exec_exited(control: &Control, wanted: &str) -> Exit {
    loop {
        match next(control) {
            Event::ExecExited { id, exit } if id == wanted => return exit,
            Event::ExecFailed { failure, .. } => panic!("{failure:?}"),
            _ => {}
        }
    }
}

fn running<'a>(world: &'a World, script: &str) -> (Container, Control, &'a World) {
    let container = world.container(script).stdin(false);
    let control = world.launch(&container);
    started(&control);
    (container, control, world)
}

fn finish(control: &Control) {
    control.send(&Command::CloseStdin, None).unwrap();
    exited(control);
    release(control);
}

fn runs(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "echo main; read line");
    let script = "echo out; echo err >&2; hostname; exit 4";
    let exec = attached(&control, container.exec("e1", script));
    let [out, err] = exec.frames();
    assert_eq!((out.as_str(), err.as_str()), ("out\nbox\n", "err\n"));
    assert_eq!(exec_exited(&control, "e1").code, 4);
    assert_eq!(container.log(), "main\n");
    finish(&control);
}

fn input(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    let mut exec = container.exec("e1", "cat; echo over");
    exec.stdin = Stdin::Open { once: true };
    let mut exec = attached(&control, exec);
    exec.write("text\n");
    exec.end_input();
    assert_eq!(exec.frames()[0], "text\nover\n");
    assert_eq!(exec_exited(&control, "e1").code, 0);
    finish(&control);
}

fn terminal(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    let mut exec = container.exec("e1", "stty size; read line; stty size");
    exec.process.terminal = true;
    exec.stdin = Stdin::Open { once: true };
    exec.size = Some(Size { height: 10, width: 20 });
    let mut exec = attached(&control, exec);
    exec.read_until("10 20\r\n");
    let size = Size { height: 30, width: 40 };
    control.send(&Command::Resize { exec: Some("e1".to_owned()), size }, None).unwrap();
    exec.write("\n");
    assert!(exec.raw().ends_with("30 40\r\n"));
    assert_eq!(exec_exited(&control, "e1").code, 0);
    finish(&control);
}

fn failures(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    for (program, code) in [("/no/such", 127), ("/etc/passwd", 126)] {
        let mut exec = container.exec("e1", "");
        exec.process.args = vec![program.to_owned()];
        let client = attached(&control, exec);
        match next(&control) {
            Event::ExecFailed { id, failure } => {
                assert_eq!((id.as_str(), failure.exit_code), ("e1", code), "{failure:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.raw(), "");
    }
    finish(&control);
}

fn ends_with_container(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    let exec = attached(&control, container.exec("e1", "echo ready; sleep 1000"));
    let mut exec = exec;
    exec.read_until("ready\n");
    control.send(&Command::CloseStdin, None).unwrap();
    assert_eq!(exec_exited(&control, "e1").code, 137);
    exited(&control);
    release(&control);
}

fn background(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    let exec = attached(&control, container.exec("e1", "sleep 1000 & echo done"));
    assert_eq!(exec.frames()[0], "done\n");
    assert_eq!(exec_exited(&control, "e1").code, 0);
    finish(&control);
}

fn many(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line");
    for number in 0..20 {
        let exec = container.exec(&format!("e{number}"), &format!("exit {number}"));
        control.send(&Command::Exec(Box::new(exec)), None).unwrap();
    }
    let mut codes = Vec::new();
    while codes.len() < 20 {
        match next(&control) {
            Event::ExecExited { id, exit } => {
                assert_eq!(id, format!("e{}", exit.code));
                codes.push(exit.code);
            }
            Event::ExecStarted { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    wait_until(|| container.reconnect().1.execs.is_empty());
    finish(&control);
}

/// A process that enters a frozen group stands still.
fn hanging(token: &SingleThreaded) {
    let world = World::new(token);
    let (container, control, _) = running(&world, "read line; exit 3");
    let group = Group::open(Layout::detect().unwrap(), &container.cgroup()).unwrap();
    group.freeze().unwrap();
    let client = attached(&control, container.exec("e1", "echo done"));
    assert!(container.reconnect().1.execs.is_empty());
    group.thaw().unwrap();
    assert_eq!(client.frames()[0], "done\n");
    assert_eq!(exec_exited(&control, "e1").code, 0);
    group.freeze().unwrap();
    let client = attached(&control, container.exec("e2", "echo done"));
    container.reconnect();
    control.send(&Command::Signal { exec: None, signal: 9 }, None).unwrap();
    // Version 2 lets frozen processes be killed: the group may be gone by now.
    drop(group.thaw());
    client.frames();
    assert_eq!(exited(&control).code, 137);
    release(&control);
}

fn stopped(token: &SingleThreaded) {
    let world = World::new(token);
    // Only words of the shell itself: it makes no other process.
    let script = "while :; do for p in /proc/[0-9]*; do n=${p#/proc/}; \
                  test $n = 1 || kill -STOP $n; done; done 2>/dev/null";
    let container = world.container(script);
    let control = world.launch(&container);
    let main = started(&control);
    for number in 0..8 {
        // On its way or behind the gate: it is stopped somewhere.
        let exec = container.exec(&format!("e{number}"), "exec sleep 1000");
        control.send(&Command::Exec(Box::new(exec)), None).unwrap();
    }
    let children = format!("/proc/{0}/task/{0}/children", main.monitor);
    wait_until(|| {
        let children = std::fs::read_to_string(&children).unwrap();
        let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let mut stats = children.split_whitespace().filter_map(|pid| stat(pid).ok());
        stats.any(|stat| stat.contains(") T "))
    });
    container.reconnect();
    control.send(&Command::Signal { exec: None, signal: 9 }, None).unwrap();
    assert_eq!(exited(&control).code, 137);
    release(&control);
}

fn limit(token: &SingleThreaded) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(300), ..own }).unwrap();
    let world = World::new(token);
    let (container, control, _) = running(&world, "ulimit -n; read line");
    let exec = attached(&control, container.exec("e1", "ulimit -n"));
    assert_eq!(exec.frames()[0], "300\n");
    exec_exited(&control, "e1");
    wait_until(|| container.log() == "300\n");
    finish(&control);
}
