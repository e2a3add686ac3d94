//! What an idle container costs, and how a connection to `::1` gets into one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;

use linux::process::SingleThreaded;
use monitor::client::Control;
use monitor::protocol::{Command, Event, FdRole};
use testkit::forked::Test;

use crate::world::{World, exited, next, release, started};

pub(crate) const TESTS: &[Test] = &[
    ("resources::an_idle_monitor_is_small_and_sleeps", idle),
    ("resources::connections_are_spliced_with_half_closes", splice),
    ("resources::without_descriptors_left_it_rests", no_descriptors),
    ("resources::time_to_start_and_to_end", time),
];

/// One kind of memory of a process in KiB.
fn memory(pid: u32, kind: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn switches(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

fn idle(token: &SingleThreaded) {
    const COUNT: usize = 10;
    let world = World::new(token);
    let launcher = world.children()[0];
    let containers: Vec<_> = (0..COUNT)
        .map(|_| {
            let container = world.container("echo hello; read line").stdin(false);
            let control = world.launch(&container);
            let monitor = started(&control).monitor;
            (container, control, monitor)
        })
        .collect();
    let monitors: Vec<u32> = containers.iter().map(|(_, _, monitor)| *monitor).collect();
    // Each goes to sleep for good once it has given its buffers back.
    std::thread::park_timeout(std::time::Duration::from_millis(1500));
    let asleep: Vec<u64> = monitors.iter().map(|pid| switches(*pid)).collect();
    std::thread::park_timeout(std::time::Duration::from_millis(1500));
    let now: Vec<u64> = monitors.iter().map(|pid| switches(*pid)).collect();
    assert_eq!(now, asleep, "an idle monitor wakes up");
    let average =
        |kind: &str| monitors.iter().map(|pid| memory(*pid, kind)).sum::<u64>() / COUNT as u64;
    // What one more monitor takes is what it shares with no other: of the program's pages, which
    // all share, a part of each is in the proportional size.
    let private = average("Private_Dirty") + average("Private_Clean");
    println!(
        "a monitor takes {private} KiB of its own, {} KiB with its share; the launcher {} KiB",
        average("Pss"),
        memory(launcher, "Pss")
    );
    assert!(private < 256);
    for pid in monitors {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("\nThreads:\t1\n"), "{status}");
    }
    for (_, control, _) in &containers {
        control.send(&Command::CloseStdin, None).unwrap();
        exited(control);
        release(control);
    }
}

fn splice(token: &SingleThreaded) {
    let world = World::new(token);
    let outside = TcpListener::bind("[::1]:0").unwrap();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = inside.local_addr().unwrap();
    let container = world.container("read line").stdin(false);
    let role = FdRole::SpliceListener { target };
    let control = world.launch_with(&container, &[(role, outside.as_fd())]);
    started(&control);
    let mut client = TcpStream::connect(outside.local_addr().unwrap()).unwrap();
    drop(outside);
    let server = std::thread::spawn(move || {
        let (mut stream, _) = inside.accept().unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        stream.write_all(&request.iter().rev().copied().collect::<Vec<u8>>()).unwrap();
        request.len()
    });
    let request: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    client.write_all(&request).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer.reverse();
    assert_eq!(server.join().unwrap(), request.len());
    assert!(answer == request);
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    release(&control);
}

/// Clock ticks that a process has run.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

fn no_descriptors(token: &SingleThreaded) {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    const MOST: u64 = 96;
    let world = World::new(token);
    let outside = TcpListener::bind("[::1]:0").unwrap();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let role = FdRole::SpliceListener { target: inside.local_addr().unwrap() };
    let container = world.container("read line").stdin(false);
    let control = world.launch_with(&container, &[(role, outside.as_fd())]);
    let monitor = started(&control).monitor;
    let process = Pid::from_raw(monitor.cast_signed());
    let few = Rlimit { current: Some(MOST), ..getrlimit(Resource::Nofile) };
    prlimit(process, Resource::Nofile, few).unwrap();
    let open = || std::fs::read_dir(format!("/proc/{monitor}/fd")).unwrap().count() as u64;
    let mut others = Vec::new();
    while open() < MOST {
        others.push(container.reconnect());
    }
    // Both wait to be taken.
    let late = Control::connect(container.run_directory()).unwrap();
    let mut client = TcpStream::connect(outside.local_addr().unwrap()).unwrap();
    let before = ticks(monitor);
    std::thread::park_timeout(std::time::Duration::from_millis(1500));
    assert!(ticks(monitor) - before < 15, "it spins");
    drop(others);
    assert!(matches!(next(&late), Event::Snapshot(_)));
    client.write_all(b"through").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut request = Vec::new();
    inside.accept().unwrap().0.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"through");
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    release(&control);
}

/// Not a bound (machines are noisy): shows what the way through launcher and monitor costs.
fn time(token: &SingleThreaded) {
    let world = World::new(token);
    let mut times = Vec::new();
    for _ in 0..40 {
        let mut container = world.container("");
        container.launch.spec.process.as_mut().unwrap().args = vec!["true".to_owned()];
        let start = std::time::Instant::now();
        let control = world.launch(&container);
        started(&control);
        let begun = start.elapsed();
        exited(&control);
        times.push((start.elapsed(), begun));
        release(&control);
    }
    times.sort_unstable();
    println!("launch to exit {:?}, to the start {:?}", times[20].0, times[20].1);
    time_of_execs(&world);
}

fn time_of_execs(world: &World) {
    let container = world.container("read line").stdin(false);
    let control = world.launch(&container);
    started(&control);
    let mut exec = container.exec("e", "");
    exec.process.args = vec!["true".to_owned()];
    let mut times = Vec::new();
    for _ in 0..40 {
        let start = std::time::Instant::now();
        control.send(&Command::Exec(Box::new(exec.clone())), None).unwrap();
        assert!(matches!(next(&control), Event::ExecStarted { .. }));
        assert!(matches!(next(&control), Event::ExecExited { .. }));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("exec to exit {:?}", times[20]);
    control.send(&Command::CloseStdin, None).unwrap();
    exited(&control);
    release(&control);
}
