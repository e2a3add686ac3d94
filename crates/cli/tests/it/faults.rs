//! Processes killed at bad moments: containers go on, state is found again, nothing leaks.

use std::fs;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use testkit::Brig;
use testkit::process::{eventually, free_port};

use crate::BRIG;
use crate::hello::get;
use crate::leaks::{OnHost, mark, on_host};

pub(crate) fn kill(id: u32) {
    kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Waits for the end of a process with all its threads (the first may be a zombie before the
/// others have closed the sockets).
pub(crate) fn gone(id: u32) {
    let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let mut waiting = [PollFd::new(&process, PollFlags::IN)];
    assert_eq!(poll(&mut waiting, Some(&limit)).unwrap(), 1, "process {id} is still there");
}

#[test]
fn containers_outlive_a_killed_daemon() {
    let brig = Brig::new(BRIG);
    let port = free_port();
    let publish = format!("{port}:8080");
    let id = brig.ok(&["run", "-d", "--name", "page", "-p", &publish, "hello", "serve"]);
    drop(get("127.0.0.1", port));
    let before = brig.ok(&["inspect", "-f", "{{.State.Pid}}", "page"]);

    let daemon = brig.daemon_id().unwrap();
    kill(daemon);
    gone(daemon);
    assert!(get("127.0.0.1", port).contains("200"), "the port works without the daemon");

    assert_eq!(brig.ok(&["ps", "-q", "--no-trunc"]), id, "a new daemon finds it");
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Pid}}", "page"]), before);
    assert!(get("127.0.0.1", port).contains("200"));
    assert_eq!(brig.ok(&["rm", "-f", "page"]), "page");
}

#[test]
fn an_exit_while_no_daemon_runs_is_not_lost() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let script = "echo before; while ! test -e /stop/now; do sleep 0.05; done; echo after; exit 6";
    let stop = tempfile::tempdir().unwrap();
    let bind = format!("{}:/stop", stop.path().display());
    let id = brig.ok(&["run", "-d", "-v", &bind, "busybox", "sh", "-c", script]);
    let pid: u32 = brig.ok(&["inspect", "-f", "{{.State.Pid}}", &id]).parse().unwrap();
    drop(brig.ok(&["system", "shutdown"]));
    fs::write(stop.path().join("now"), "").unwrap();
    gone(pid);
    assert_eq!(brig.ok(&["wait", &id]), "6");
    assert_eq!(brig.ok(&["logs", &id]), "before\nafter");
}

#[test]
fn a_killed_monitor_is_noticed() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let id = brig.ok(&["run", "-d", "busybox", "sh", "-c", "while echo tick; do sleep 0.1; done"]);
    let pid: u32 = brig.ok(&["inspect", "-f", "{{.State.Pid}}", &id]).parse().unwrap();
    let monitor = parent_of(pid);
    kill(monitor);
    gone(monitor);
    // It goes on under another one, which knows all that the first did.
    eventually("another monitor serves", Duration::from_secs(10), || {
        brig.output(&["exec", &id, "true"]).status.success().then_some(())
    });
    assert_eq!(
        brig.ok(&["inspect", "-f", "{{.State.Status}} {{.State.Pid}}", &id]),
        format!("running {pid}")
    );
    assert_ne!(parent_of(pid), monitor);
    let lines = || brig.ok(&["logs", &id]).lines().count();
    let before = lines();
    eventually("it is still logged", Duration::from_secs(10), || (lines() > before).then_some(()));
    drop(brig.ok(&["stop", "-t", "0", &id]));
    gone(pid);
    drop(brig.ok(&["rm", "-f", &id]));
    assert_eq!(brig.ok(&["ps", "-aq"]), "");
}

fn parent_of(id: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits for a daemon. One that was killed while it executed another launcher leaves its socket
/// open for a moment: a command that comes then is told that its connection broke off.
fn answers(brig: &Brig) {
    eventually("a daemon answers", Duration::from_secs(10), || {
        brig.output(&["version"]).status.success().then_some(())
    });
}

#[test]
fn all_of_brig_killed_and_started_again() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let mark = mark(&brig);
    drop(brig.ok(&["run", "--rm", "-p", "0:80", "busybox", "true"]));
    let before = settled(&brig, &mark);
    drop(brig.ok(&["run", "-d", "-p", "0:80", "--name", "kept", "busybox", "sleep", "600"]));
    drop(brig.ok(&["run", "-d", "--rm", "--name", "passing", "busybox", "sleep", "600"]));
    let pid: u32 = brig.ok(&["inspect", "-f", "{{.State.Pid}}", "kept"]).parse().unwrap();
    let (daemon, monitor) = (brig.daemon_id().unwrap(), parent_of(pid));
    let launcher = parent_of(monitor);
    for id in [launcher, daemon, monitor] {
        kill(id);
    }
    gone(daemon);
    answers(&brig);
    let names = brig.ok(&["ps", "-a", "--format", "{{.Names}}"]);
    assert!(names.contains("kept"), "{names}");
    for name in names.lines() {
        drop(brig.ok(&["rm", "-f", name]));
    }
    gone(pid);
    // The new launcher is where the first one was.
    drop(brig.ok(&["run", "--rm", "-p", "0:80", "busybox", "true"]));
    eventually("nothing is left", Duration::from_secs(20), || {
        let now = on_host(&brig, &mark);
        now.is_within(&before).then_some(()).or_else(|| {
            eprintln!("before {before:?}\nnow    {now:?}");
            None
        })
    });
}

/// What brig holds on the host once two looks in a row agree.
fn settled(brig: &Brig, mark: &str) -> OnHost {
    let mut last = on_host(brig, mark);
    eventually("the host settles", Duration::from_secs(30), || {
        let now = on_host(brig, mark);
        let same = now == last;
        last = now;
        same.then_some(())
    });
    last
}

#[test]
fn policies_outlive_a_killed_daemon() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let run =
        |policy: &str| brig.ok(&["run", "-d", "--restart", policy, "busybox", "sleep", "600"]);
    let pid = |id: &str| brig.ok(&["inspect", "-f", "{{.State.Pid}}", id]).parse::<u32>().unwrap();
    let (unless, always) = (run("unless-stopped"), run("always"));
    let (stopped, killed) = (run("unless-stopped"), run("unless-stopped"));
    let first = [pid(&unless), pid(&always)];
    drop(brig.ok(&["stop", "-t", "0", &stopped]));
    drop(brig.ok(&["kill", &killed]));
    let daemon = brig.daemon_id().unwrap();
    kill(daemon);
    gone(daemon);
    answers(&brig);
    assert_eq!([pid(&unless), pid(&always)], first, "they have gone on");
    for (id, first) in [&unless, &always].into_iter().zip(first) {
        kill(first);
        eventually("it is started again", Duration::from_secs(20), || {
            Some(pid(id)).filter(|pid| *pid != 0 && *pid != first)
        });
    }
    for id in [&stopped, &killed] {
        assert_eq!(brig.ok(&["wait", id]), "137");
        assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Status}}", id]), "exited");
    }
    drop(brig.ok(&["rm", "-f", &unless, &always, &stopped, &killed]));
}

#[test]
fn another_launcher_takes_the_place_of_a_killed_one() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let run = ["run", "-d", "--restart", "always", "busybox", "sleep", "600"];
    let old = brig.ok(&run);
    let pid = |id: &str| brig.ok(&["inspect", "-f", "{{.State.Pid}}", id]).parse().unwrap();
    let (daemon, first): (_, u32) = (brig.daemon_id().unwrap(), pid(&old));
    let launcher = parent_of(parent_of(first));
    kill(launcher);
    gone(launcher);
    let new = brig.ok(&run);
    assert_eq!(brig.daemon_id(), Some(daemon), "the daemon is the same");
    assert_eq!(pid(&old), first, "what ran goes on");
    assert_eq!(brig.ok(&["exec", &old, "echo", "here"]), "here");
    let second = parent_of(parent_of(pid(&new)));
    assert_ne!(second, launcher);

    // A monitor of the new launcher is replaced; one of the dead launcher's is not, and told.
    let monitor = parent_of(pid(&new));
    kill(monitor);
    gone(monitor);
    eventually("another monitor serves", Duration::from_secs(10), || {
        brig.output(&["exec", &new, "true"]).status.success().then_some(())
    });
    let error = brig.ok(&["inspect", "-f", "{{.State.Error}}", &new]);
    assert_eq!(error, "");
    kill(parent_of(first));
    gone(first);
    let again: u32 = eventually("its policy has started it again", Duration::from_secs(10), || {
        Some(pid(&old)).filter(|pid: &u32| *pid != 0 && *pid != first)
    });
    assert_eq!(parent_of(parent_of(again)), second);

    // The new one starts a killed daemon again, as the first would have.
    kill(daemon);
    gone(daemon);
    eventually("another daemon", Duration::from_secs(10), || {
        brig.daemon_id().filter(|id| *id != daemon && brig.socket().exists())
    });
    assert_eq!(pid(&old), again);
    drop(brig.ok(&["rm", "-f", &old, &new]));
}

#[test]
fn a_container_ended_without_a_witness_says_so() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let id = brig.ok(&["run", "-d", "busybox", "sleep", "600"]);
    let pid: u32 = brig.ok(&["inspect", "-f", "{{.State.Pid}}", &id]).parse().unwrap();
    let (daemon, monitor) = (brig.daemon_id().unwrap(), parent_of(pid));
    for victim in [parent_of(monitor), daemon, monitor] {
        kill(victim);
        gone(victim);
    }
    answers(&brig);
    let state = brig.ok(&["inspect", "-f", "{{.State.ExitCode}} {{.State.Error}}", &id]);
    assert!(state.starts_with("137 its monitor was killed"), "{state}");
    gone(pid);
    let events = brig.ok(&["events", "--since", "0", "--until", "0s", "--filter", "event=die"]);
    assert!(events.contains(&id), "{events}");
}

/// None of brig's processes can be used to overwrite the program (CVE-2019-5736): each runs it from
/// a read-only mount, so that it is no question of when somebody tries.
#[test]
fn the_running_program_cannot_be_overwritten() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["run", "-d", "--init", "--name", "one", "hello", "serve"]));
    let pid: u32 = brig.ok(&["inspect", "-f", "{{.State.Pid}}", "one"]).parse().unwrap();
    let monitor = parent_of(pid);
    for id in [brig.daemon_id().unwrap(), parent_of(monitor), monitor] {
        let mount = rustix::fs::statvfs(format!("/proc/{id}/exe")).unwrap();
        assert!(mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{id}");
    }
    drop(brig.ok(&["rm", "-f", "one"]));
}

#[test]
fn two_daemons_on_one_root() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let daemon = brig.daemon_id().unwrap();
    let text = brig.fails(1, &["daemon"]);
    assert!(text.contains(&daemon.to_string()), "says who has it: {text}");
    assert_eq!(brig.daemon_id(), Some(daemon));
}

#[test]
fn a_truncated_config_is_told() {
    let brig = Brig::new(BRIG);
    fs::write(brig.config_path(), "[registries.\"docker.io\"\n").unwrap();
    let text = brig.fails(1, &["version"]);
    assert!(text.contains("config.toml"), "{text}");
}

/// Whoever looks which volumes are unused must not miss a container that is just being made.
#[test]
fn a_volume_is_not_removed_under_a_container_in_the_making() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let containers: Vec<String> = (0..15).map(|number| format!("user-{number}")).collect();
    let brig = &brig;
    std::thread::scope(|scope| {
        let (is_over, over) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            // The other end is dropped also when an assertion fails.
            while over.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                drop(brig.output(&["volume", "prune", "-a", "-f"]));
                drop(brig.output(&["volume", "rm", "shared"]));
            }
        });
        for name in &containers {
            drop(brig.ok(&["create", "--name", name, "-v", "shared:/data", "busybox", "true"]));
            let listed = brig.output(&["volume", "inspect", "shared"]);
            drop(brig.ok(&["rm", name]));
            assert!(listed.status.success(), "{name} has lost its volume");
        }
        drop(is_over);
    });
}

/// A namespace that somebody else holds stays; nobody waits for it.
#[test]
fn a_removal_does_not_wait_for_the_network_namespace() {
    let brig = Brig::new(BRIG);
    let port = free_port();
    let publish = format!("{port}:8080");
    let id = brig.ok(&["run", "-d", "-p", &publish, "hello", "serve"]);
    let pid = brig.ok(&["inspect", "-f", "{{.State.Pid}}", &id]);
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
    let address = brig.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]);
    assert_eq!(brig.ok(&["rm", "-f", &id]), id);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is free");
    let next = brig.ok(&["run", "-d", "-p", &publish, "hello", "serve"]);
    assert_ne!(brig.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &next]), address);
    assert!(get("127.0.0.1", port).contains("200"));
    drop(brig.ok(&["rm", "-f", &next]));
    drop(namespace);
}
