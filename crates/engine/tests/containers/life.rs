//! Create, start, wait, stop, remove; names, states, events.

use std::time::{Duration, Instant};

use engine::container::{Port, Protocol, PublishSpec, RemoveOptions, RestartPolicy, WaitCondition};
use engine::{Error, EventFilter, Status};
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::{all, sh, test};

pub(crate) const TESTS: &[Test] = &[
    ("life::runs_and_ends", runs_and_ends),
    ("life::a_command_that_is_not_there", a_command_that_is_not_there),
    ("life::auto_remove", auto_remove),
    ("life::stop_of_one_that_ignores_the_signal", stop_of_one_that_ignores_the_signal),
    ("life::stop_keeps_a_timeout_that_was_given", stop_keeps_a_timeout_that_was_given),
    ("life::pause_kill_and_rename", pause_kill_and_rename),
    ("life::restart_policy", restart_policy),
    ("life::events_in_order", events_in_order),
    ("life::names", names),
    ("life::many_at_once_leave_nothing", many_at_once_leave_nothing),
];

fn runs_and_ends(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("echo out; echo err >&2; exit 3").await;
        let containers = world.engine().containers();
        let waiter = containers.wait(&id, WaitCondition::NextExit).await.unwrap();
        let begin = Instant::now();
        containers.start(&id).await.unwrap();
        println!("start took {:?}", begin.elapsed());
        assert_eq!(waiter.outcome().await.exit_code, 3);
        assert_eq!(world.logs(&id).await, "out\nerr\n");
        let inspect = containers.inspect(&id, true).await.unwrap();
        assert_eq!((inspect.state.status, inspect.state.exit_code), (Status::Exited, 3));
        assert_eq!(inspect.arguments[0], "-c");
        assert!(containers.list(&engine::ListFilter::default()).await.unwrap().is_empty());
        assert_eq!(containers.list(&all()).await.unwrap().len(), 1);
        containers.remove(&id[..12], RemoveOptions::default()).await.unwrap();
        assert!(matches!(containers.inspect(&id, false).await, Err(Error::NoSuchContainer(_))));
    });
}

fn a_command_that_is_not_there(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        for (command, code) in [("/nowhere", 127), ("nowhere", 127), ("/etc/passwd", 126)] {
            let mut spec = sh("");
            spec.command = Some(vec![command.into()]);
            let id = containers.create(spec).await.unwrap().id;
            let error = containers.start(&id).await.unwrap_err();
            let Error::StartFailed { exit_code, message, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(exit_code, code, "{message}");
            let state = containers.inspect(&id, false).await.unwrap().state;
            assert_eq!((state.status, state.exit_code), (Status::Created, code));
        }
    });
}

fn auto_remove(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create_with("exit 7", |spec| spec.host.auto_remove = true).await;
        let containers = world.engine().containers();
        let removed = containers.wait(&id, WaitCondition::Removed).await.unwrap();
        containers.start(&id).await.unwrap();
        assert_eq!(removed.outcome().await.exit_code, 7);
        assert!(containers.resolve(&id).is_err());
        assert!(!world.root.path().join("run/containers").join(&id).exists());
        assert!(!world.root.path().join("data/containers").join(&id).exists());
        // A restart by hand is no end.
        let id = world.create_with("sleep 1000", |spec| spec.host.auto_remove = true).await;
        containers.start(&id).await.unwrap();
        let before = containers.inspect(&id, false).await.unwrap().state.pid;
        containers.restart(&id, None, Some(0)).await.unwrap();
        let state = containers.inspect(&id, false).await.unwrap().state;
        assert!(state.status == Status::Running && state.pid != before, "{state:?}");
        // A start that fails removes it, too.
        let mut spec = sh("");
        spec.command = Some(vec!["/nowhere".into()]);
        spec.host.auto_remove = true;
        let id = containers.create(spec).await.unwrap().id;
        let removed = containers.wait(&id, WaitCondition::Removed).await.unwrap();
        assert!(containers.start(&id).await.is_err());
        assert_eq!(removed.outcome().await.exit_code, 127);
    });
}

fn stop_of_one_that_ignores_the_signal(token: &SingleThreaded) {
    test(token, async |world| {
        // As PID 1 without a handler it never gets the signal.
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let begin = Instant::now();
        containers.stop(&id, None, None).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(containers.inspect(&id, false).await.unwrap().state.exit_code, 137);
        assert!(matches!(containers.stop(&id, None, None).await, Err(Error::NotModified(_))));
        // One that handles it ends by itself.
        let id = world.create("trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done").await;
        containers.start(&id).await.unwrap();
        while world.logs(&id).await.is_empty() {
            tokio::task::yield_now().await;
        }
        containers.stop(&id, None, None).await.unwrap();
        assert_eq!(containers.inspect(&id, false).await.unwrap().state.exit_code, 5);
    });
}

fn stop_keeps_a_timeout_that_was_given(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let begin = Instant::now();
        containers.stop(&id, None, Some(1)).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_secs(1));
    });
}

fn pause_kill_and_rename(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        assert!(matches!(containers.pause(&id).await, Err(Error::Conflict(_))));
        containers.start(&id).await.unwrap();
        containers.pause(&id).await.unwrap();
        let paused = containers.inspect(&id, false).await.unwrap().state.status;
        assert_eq!(paused, Status::Paused);
        assert!(matches!(containers.pause(&id).await, Err(Error::Conflict(_))));
        let refused = containers.remove(&id, RemoveOptions::default()).await.unwrap_err();
        assert!(refused.to_string().contains("container is paused"), "{refused}");
        // A signal that does not end it waits for the thaw.
        containers.kill(&id, Some("USR1")).await.unwrap();
        let paused = containers.inspect(&id, false).await.unwrap().state.status;
        assert_eq!(paused, Status::Paused);
        containers.unpause(&id).await.unwrap();
        containers.rename(&id, "other").await.unwrap();
        assert_eq!(containers.resolve("/other").unwrap(), id);
        let table = containers.top("other", "").await.unwrap();
        assert_eq!(table.titles[0], "UID");
        assert_eq!(table.rows.len(), 2, "{table:?}");
        containers.kill("other", None).await.unwrap();
        assert_eq!(world.wait(&id, WaitCondition::NotRunning).await.exit_code, 137);
        assert!(matches!(containers.kill("other", None).await, Err(Error::Conflict(_))));
    });
}

fn restart_policy(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world
            .create_with("exit 4", |spec| {
                spec.host.restart = RestartPolicy::OnFailure { maximum: 2 };
            })
            .await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        assert_eq!(world.wait(&id, WaitCondition::NotRunning).await.exit_code, 4);
        assert_eq!(containers.inspect(&id, false).await.unwrap().restart_count, 2);
        let always =
            world.create_with("exit 0", |spec| spec.host.restart = RestartPolicy::Always).await;
        containers.start(&always).await.unwrap();
        world.wait(&always, WaitCondition::NextExit).await;
        let _either = containers.stop(&always, None, None).await;
        assert_eq!(containers.inspect(&always, false).await.unwrap().state.status, Status::Exited);
    });
}

fn events_in_order(token: &SingleThreaded) {
    test(token, async |world| {
        let mut events = world.engine().events().subscribe(EventFilter::default());
        let (code, _) = world.run("exit 0", |_| ()).await;
        assert_eq!(code, 0);
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "container destroy") {
            let event = events.next().await.unwrap();
            seen.push(format!("{} {}", event.subject.as_str(), event.action));
        }
        assert_eq!(
            seen,
            [
                "container create",
                "network connect",
                "container start",
                "container die",
                "network disconnect",
                "container destroy",
            ]
        );
    });
}

fn names(token: &SingleThreaded) {
    test(token, async |world| {
        let named = |name: &str| {
            let mut spec = sh("true");
            spec.name = Some(name.to_owned());
            spec
        };
        let containers = world.engine().containers();
        let id = containers.create(named("web")).await.unwrap().id;
        let error = containers.create(named("/web")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "Conflict. The container name \"/web\" is already in use by container \"{id}\". \
                 You have to remove (or rename) that container to be able to reuse that name."
            )
        );
        assert!(containers.create(named("-")).await.is_err());
        let mut unknown = sh("true");
        unknown.image = "nothing".into();
        let error = containers.create(unknown).await.unwrap_err();
        assert_eq!(error.to_string(), "No such image: nothing:latest");
        let other = containers.create(named("other")).await.unwrap().id;
        assert!(matches!(containers.rename("other", "web").await, Err(Error::NameTaken { .. })));
        containers.remove("web", RemoveOptions::default()).await.unwrap();
        containers.rename(&other, "web").await.unwrap();
    });
}

/// What the host has of this root: mounts, control groups, links of the bridge.
fn traces(world: &crate::world::World, instance: &str) -> Vec<String> {
    let root = world.root.path().display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned).collect();
    for hierarchy in linux::cgroup::Layout::detect().unwrap().hierarchies() {
        let parent = hierarchy.mount_point.join(format!("brig-{}", &instance[..6]));
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.path().is_dir() && entry.file_name() != "monitors" {
                found.push(entry.path().display().to_string());
            }
        }
    }
    for directory in ["run/containers", "data/containers", "data/snapshots"] {
        for entry in std::fs::read_dir(world.root.path().join(directory)).unwrap().flatten() {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn many_at_once_leave_nothing(token: &SingleThreaded) {
    test(token, async |world| {
        let instance = world.engine().system().facts().await.unwrap().instance;
        let one = async |number: u16| {
            let (code, output) = world
                .run(&format!("echo {number}; exit {}", number % 7), |spec| {
                    let port = Port { number: 80, protocol: Protocol::Tcp };
                    let publish = PublishSpec { port, host_ip: None, host_ports: None };
                    spec.host.network.published = vec![publish];
                })
                .await;
            assert_eq!((code, output), (i32::from(number % 7), format!("{number}\n")));
        };
        let begin = Instant::now();
        for batch in 0..5 {
            let batch: Vec<u16> = (batch * 8..batch * 8 + 8).collect();
            futures_util::future::join_all(batch.into_iter().map(one)).await;
        }
        println!("40 runs, 8 at a time, took {:?}", begin.elapsed());
        assert_eq!(traces(world, &instance), Vec::<String>::new());
    });
}
