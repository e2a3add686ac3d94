//! A daemon that ends and comes back.

use engine::Status;
use engine::container::{
    AttachRequest, ExecSpec, ExecStart, RemoveOptions, RestartPolicy, WaitCondition,
};
use linux::process::{Pid, PidFd, SingleThreaded};
use testkit::forked::Test;

use crate::attach::converse;
use crate::world::{all, test};

pub(crate) const TESTS: &[Test] = &[
    ("recovery::running_ones_are_adopted", running_ones_are_adopted),
    ("recovery::ends_meanwhile_are_found", ends_meanwhile_are_found),
    ("recovery::a_monitor_that_is_killed", a_monitor_that_is_killed),
    ("recovery::a_monitor_that_outlives_its_container", a_monitor_that_outlives_its_container),
    ("recovery::a_monitor_that_does_not_react", a_monitor_that_does_not_react),
    ("recovery::a_silent_monitor_is_replaced", a_silent_monitor_is_replaced),
    ("recovery::an_exec_whose_monitor_is_killed", an_exec_whose_monitor_is_killed),
    ("recovery::policies_at_the_start", policies_at_the_start),
];

fn running_ones_are_adopted(token: &SingleThreaded) {
    test(token, async |world| {
        let kept = world.create("sleep 1000; true").await;
        let brief = world.create_with("sleep 1000; true", |s| s.host.auto_remove = true).await;
        for id in [&kept, &brief] {
            world.engine().containers().start(id).await.unwrap();
        }
        let before = world.engine().containers().inspect(&kept, false).await.unwrap();
        world.reopen().await;
        let containers = world.engine().containers();
        let after = containers.inspect(&kept, false).await.unwrap();
        assert_eq!(after.state.status, Status::Running);
        assert_eq!(after.state.pid, before.state.pid);
        assert_eq!(after.networks, before.networks);
        assert_eq!(after.name, before.name);
        containers.stop(&kept, None, None).await.unwrap();
        let removed = containers.wait(&brief, WaitCondition::Removed).await.unwrap();
        containers.kill(&brief, None).await.unwrap();
        assert_eq!(removed.outcome().await.exit_code, 137);
        assert_eq!(containers.list(&all()).await.unwrap().len(), 1);
    });
}

fn ends_meanwhile_are_found(token: &SingleThreaded) {
    test(token, async |world| {
        let script = "while [ ! -e /flag/go ]; do sleep 0.05; done; exit 6";
        let flag = world.root.path().join("flag");
        let bind = format!("{}:/flag", flag.display());
        let kept = world.create_with(script, |s| s.host.binds = vec![bind.clone()]).await;
        let brief = world
            .create_with(script, |s| {
                s.host.binds = vec![bind.clone()];
                s.host.auto_remove = true;
            })
            .await;
        for id in [&kept, &brief] {
            world.engine().containers().start(id).await.unwrap();
        }
        let run = world.root.path().join("run/containers");
        world
            .reopen_after(|| {
                std::fs::write(flag.join("go"), "").unwrap();
                for id in [&kept, &brief] {
                    while !run.join(id).join("exit.json").exists() {
                        std::thread::yield_now();
                    }
                }
            })
            .await;
        let containers = world.engine().containers();
        let state = containers.inspect(&kept, false).await.unwrap().state;
        assert_eq!((state.status, state.exit_code), (Status::Exited, 6));
        if containers.resolve(&brief).is_ok() {
            world.wait(&brief, WaitCondition::Removed).await;
        }
        assert!(!run.join(&brief).exists());
    });
}

/// The parent of a process, from `/proc`.
fn parent(pid: u32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

fn a_monitor_that_is_killed(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("trap 'exit 8' TERM; echo ready; while :; do sleep 0.1; done").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        while world.logs(&id).await.is_empty() {
            tokio::task::yield_now().await;
        }
        let before = containers.inspect(&id, false).await.unwrap().state;
        let monitor = PidFd::open(Pid::from_raw(parent(before.pid)).unwrap()).unwrap();
        monitor.signal(9).unwrap();
        containers.stop(&id, None, Some(20)).await.unwrap();
        let after = containers.inspect(&id, false).await.unwrap().state;
        assert_eq!((after.status, after.exit_code), (Status::Exited, 8), "{after:?}");
    });
}

/// A client that does not read keeps the monitor of a run that has ended; the next run has another
/// one in the same place.
fn a_monitor_that_outlives_its_container(token: &SingleThreaded) {
    test(token, async |world| {
        let script =
            "test -e /again || { touch /again; head -c 900000 /dev/zero; echo; }; sleep 1000; true";
        let id = world.create(script).await;
        let containers = world.engine().containers();
        let output = AttachRequest { stream: true, stdout: true, ..AttachRequest::default() };
        let unread = containers.attach(&id, output).await.unwrap();
        containers.start(&id).await.unwrap();
        let state = containers.inspect(&id, false).await.unwrap().state;
        let pid = Pid::from_raw(parent(state.pid)).unwrap();
        let monitor = PidFd::open(pid).unwrap();
        while world.logs(&id).await.len() <= 900_000 {
            tokio::task::yield_now().await;
        }
        containers.kill(&id, None).await.unwrap();
        world.wait(&id, WaitCondition::NotRunning).await;
        containers.start(&id).await.unwrap();
        monitor.signal(0).unwrap();
        converse(unread, b"").await;
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        while std::fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
        let spec = ExecSpec { command: vec!["true".into()], ..ExecSpec::default() };
        let exec = containers.exec_create(&id, spec).await.unwrap();
        let detached = ExecStart { detach: true, size: None };
        assert!(containers.exec_start(&exec, detached).await.unwrap().is_none());
        let before = containers.inspect(&id, false).await.unwrap().state;
        world.reopen().await;
        let after = world.engine().containers().inspect(&id, false).await.unwrap().state;
        assert_eq!((after.status, after.pid), (Status::Running, before.pid), "{after:?}");
    });
}

fn a_monitor_that_does_not_react(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let pid = containers.inspect(&id, false).await.unwrap().state.pid;
        let monitor = PidFd::open(Pid::from_raw(parent(pid)).unwrap()).unwrap();
        monitor.signal(19).unwrap();
        let options = RemoveOptions { force: true, volumes: false };
        containers.remove(&id, options).await.unwrap();
        assert!(containers.list(&all()).await.unwrap().is_empty());
        assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    });
}

fn a_silent_monitor_is_replaced(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let pid = containers.inspect(&id, false).await.unwrap().state.pid;
        let monitor = PidFd::open(Pid::from_raw(parent(pid)).unwrap()).unwrap();
        world.reopen_after(|| monitor.signal(19).unwrap()).await;
        let state = world.engine().containers().inspect(&id, false).await.unwrap().state;
        assert_eq!((state.status, state.pid), (Status::Running, pid), "{state:?}");
    });
}

fn an_exec_whose_monitor_is_killed(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let spec = ExecSpec {
            command: vec!["sleep".into(), "1000".into()],
            stdout: true,
            ..ExecSpec::default()
        };
        let exec = containers.exec_create(&id, spec).await.unwrap();
        let session = containers.exec_start(&exec, ExecStart::default()).await.unwrap().unwrap();
        let kill = async {
            while containers.exec_inspect(&exec).await.unwrap().pid == 0 {
                tokio::task::yield_now().await;
            }
            let pid = containers.inspect(&id, false).await.unwrap().state.pid;
            PidFd::open(Pid::from_raw(parent(pid)).unwrap()).unwrap().signal(9).unwrap();
        };
        let (_, (_, output)) = tokio::join!(kill, converse(session, b""));
        let output = String::from_utf8_lossy(&output);
        assert!(output.contains("the monitor of the container was killed"), "{output}");
        let after = containers.exec_inspect(&exec).await.unwrap();
        assert_eq!((after.running, after.exit_code), (false, Some(255)));
        let state = containers.inspect(&id, false).await.unwrap().state;
        assert_eq!(state.status, Status::Running);
    });
}

fn policies_at_the_start(token: &SingleThreaded) {
    test(token, async |world| {
        let policy = |policy: RestartPolicy| {
            move |spec: &mut engine::ContainerSpec| spec.host.restart = policy
        };
        let script = "sleep 1000; true";
        let always = world.create_with(script, policy(RestartPolicy::Always)).await;
        let unless = world.create_with(script, policy(RestartPolicy::UnlessStopped)).await;
        let containers = world.engine().containers();
        for id in [&always, &unless] {
            containers.start(id).await.unwrap();
            containers.kill(id, None).await.unwrap();
            world.wait(id, WaitCondition::NotRunning).await;
        }
        world.reopen().await;
        let containers = world.engine().containers();
        while !containers.inspect(&always, false).await.unwrap().state.status.is_alive() {
            tokio::task::yield_now().await;
        }
        let unless = containers.inspect(&unless, false).await.unwrap().state.status;
        assert_eq!(unless, Status::Exited);
    });
}
