//! Restart policies: what brings a container back, and what does not.

use std::time::Duration;

use engine::container::{MountKind, MountSpec, RestartPolicy, WaitCondition};
use engine::{Error, Status};
use linux::process::{Pid, PidFd, SingleThreaded};
use testkit::forked::Test;

use crate::world::{World, test};

pub(crate) const TESTS: &[Test] = &[
    ("policy::a_start_that_fails_is_tried_again", a_start_that_fails_is_tried_again),
    ("policy::an_end_by_hand_outlives_the_daemon", an_end_by_hand_outlives_the_daemon),
    ("policy::all_are_stopped_and_come_back", all_are_stopped_and_come_back),
    ("policy::a_kill_calls_a_restart_off", a_kill_calls_a_restart_off),
];

const FOREVER: &str = "sleep 1000; true";

async fn status(world: &World, id: &str) -> Status {
    world.engine().containers().inspect(id, false).await.unwrap().state.status
}

/// Waits until a container is in this state.
async fn until(world: &World, id: &str, wanted: Status) {
    while status(world, id).await != wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn kill_from_outside(world: &World, id: &str) {
    let state = world.engine().containers().inspect(id, false).await.unwrap().state;
    let process = PidFd::open(Pid::from_raw(i32::try_from(state.pid).unwrap()).unwrap()).unwrap();
    process.signal(9).unwrap();
}

fn a_start_that_fails_is_tried_again(token: &SingleThreaded) {
    test(token, async |world| {
        let source = world.root.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let mount = MountSpec {
            kind: MountKind::Bind,
            source: source.display().to_string(),
            target: "/source".into(),
            ..MountSpec::default()
        };
        let mut ids = Vec::new();
        for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped] {
            let change = |spec: &mut engine::ContainerSpec| {
                spec.host.restart = policy;
                spec.host.mounts = vec![mount.clone()];
            };
            let id = world.create_with(FOREVER, change).await;
            world.engine().containers().start(&id).await.unwrap();
            ids.push(id);
        }
        // They die with their monitors' witness while there is no daemon, and what they need is
        // missing when the next one starts, and still when the one after that does.
        let mut processes = Vec::new();
        for id in &ids {
            let state = world.engine().containers().inspect(id, false).await.unwrap().state;
            let pid = Pid::from_raw(i32::try_from(state.pid).unwrap()).unwrap();
            processes.push(PidFd::open(pid).unwrap());
        }
        let run = world.root.path().join("run/containers");
        let meanwhile = || {
            std::fs::remove_dir(&source).unwrap();
            for (process, id) in processes.iter().zip(&ids) {
                process.signal(9).unwrap();
                while !run.join(id).join("exit.json").exists() {
                    std::thread::yield_now();
                }
            }
        };
        world.reopen_after(meanwhile).await;
        for id in &ids {
            assert_eq!(status(world, id).await, Status::Restarting);
        }
        world.reopen().await;
        std::fs::create_dir(&source).unwrap();
        for id in &ids {
            until(world, id, Status::Running).await;
        }
    });
}

fn an_end_by_hand_outlives_the_daemon(token: &SingleThreaded) {
    test(token, async |world| {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
        let change = |spec: &mut engine::ContainerSpec| {
            spec.host.restart = RestartPolicy::UnlessStopped;
        };
        let id = world.create_with(script, change).await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        while world.logs(&id).await.is_empty() {
            tokio::task::yield_now().await;
        }
        containers.kill(&id, Some("TERM")).await.unwrap();
        world.reopen().await;
        assert_eq!(status(world, &id).await, Status::Running);
        kill_from_outside(world, &id).await;
        assert_eq!(world.wait(&id, WaitCondition::NotRunning).await.exit_code, 137);
        assert_eq!(status(world, &id).await, Status::Exited);
        world.reopen().await;
        assert_eq!(status(world, &id).await, Status::Exited);
    });
}

fn all_are_stopped_and_come_back(token: &SingleThreaded) {
    test(token, async |world| {
        let with = |policy| {
            move |spec: &mut engine::ContainerSpec| {
                spec.host.restart = policy;
                spec.stop_timeout = Some(0);
            }
        };
        let plain = world.create_with(FOREVER, with(RestartPolicy::No)).await;
        let always = world.create_with(FOREVER, with(RestartPolicy::Always)).await;
        let unless = world.create_with(FOREVER, with(RestartPolicy::UnlessStopped)).await;
        let stopped = world.create_with(FOREVER, with(RestartPolicy::UnlessStopped)).await;
        let flapping = world.create_with("exit 1", with(RestartPolicy::Always)).await;
        let containers = world.engine().containers();
        for id in [&plain, &always, &unless, &stopped, &flapping] {
            containers.start(id).await.unwrap();
        }
        containers.stop(&stopped, None, None).await.unwrap();
        world.engine().stop_containers().await;
        for id in [&plain, &always, &unless, &stopped] {
            assert_eq!(status(world, id).await, Status::Exited);
        }
        assert!(!status(world, &flapping).await.is_alive());
        assert!(matches!(containers.start(&plain).await, Err(Error::ShuttingDown)));
        world.reopen().await;
        for id in [&always, &unless] {
            until(world, id, Status::Running).await;
        }
        let containers = world.engine().containers();
        while containers.inspect(&flapping, false).await.unwrap().restart_count == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for id in [&plain, &stopped] {
            assert_eq!(status(world, id).await, Status::Exited);
        }
    });
}

fn a_kill_calls_a_restart_off(token: &SingleThreaded) {
    test(token, async |world| {
        let change = |spec: &mut engine::ContainerSpec| spec.host.restart = RestartPolicy::Always;
        let id = world.create_with("exit 1", change).await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        while containers.inspect(&id, false).await.unwrap().restart_count < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // From its next end on it waits for more than a second.
        world.wait(&id, WaitCondition::NextExit).await;
        containers.kill(&id, Some("USR1")).await.unwrap();
        assert_eq!(status(world, &id).await, Status::Restarting);
        containers.kill(&id, None).await.unwrap();
        world.wait(&id, WaitCondition::NotRunning).await;
        assert_eq!(status(world, &id).await, Status::Exited);
        assert!(matches!(containers.kill(&id, None).await, Err(Error::Conflict(_))));
    });
}
