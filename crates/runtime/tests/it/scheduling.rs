//! How a container's processes are run: policy, priorities, processors, memory nodes, clocks,
//! execution domain.

use std::fs;

use linux::process::SingleThreaded;
use oci::runtime::{Namespace, NamespaceKind};
use runtime::Confinement;
use testkit::forked::Test;

use crate::exec::{process, run_confined};
use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("scheduling::policy_and_priorities", policies),
    ("scheduling::real_time_policies", real_time),
    ("scheduling::execution_domain_and_memory_nodes", domain),
    ("scheduling::processors_of_an_exec", processors),
    ("scheduling::clocks_of_a_time_namespace", clocks),
    ("scheduling::joins_a_time_namespace", join_time),
];

/// Policy and nice value of the shell itself (proc(5), `/proc/PID/stat`).
const OWN: &str = "cut -d' ' -f19,41 /proc/$$/stat";

fn policies(token: &SingleThreaded) {
    let mut world = World::new(&format!("{OWN}; busybox ionice -p $$"));
    let process = world.process();
    process.scheduler = serde_json::from_str(r#"{"policy":"SCHED_BATCH","nice":7}"#).unwrap();
    process.io_priority =
        serde_json::from_str(r#"{"class":"IOPRIO_CLASS_BE","priority":6}"#).unwrap();
    assert_eq!(world.output(token), "7 3\nbest-effort: prio 6\n");

    let process = world.process();
    process.scheduler = serde_json::from_str(r#"{"policy":"SCHED_IDLE"}"#).unwrap();
    process.io_priority = serde_json::from_str(r#"{"class":"IOPRIO_CLASS_IDLE"}"#).unwrap();
    // Whoever sets them needs rights that the program does not have.
    process.user.uid = 1000;
    assert!(world.output(token).starts_with("0 5\nidle"));

    world.process().scheduler = serde_json::from_str(r#"{"policy":"SCHED_ISO"}"#).unwrap();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("scheduling policy") && error.contains("Invalid argument"), "{error}");
    world.assert_gone();
}

/// Where the control group has no time for such tasks, the kernel's refusal is told.
fn real_time(token: &SingleThreaded) {
    let mut world =
        World::new("cut -d' ' -f40,41 /proc/$$/stat; sh -c 'cut -d\\  -f41 /proc/$$/stat'; true");
    for (scheduler, expected) in [
        (r#"{"policy":"SCHED_RR","priority":3,"flags":["SCHED_FLAG_RESET_ON_FORK"]}"#, "3 2\n0\n"),
        (
            r#"{"policy":"SCHED_DEADLINE","runtime":1000000,"deadline":5000000,"period":10000000,
                "flags":["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "0 6\n0\n",
        ),
    ] {
        world.process().scheduler = serde_json::from_str(scheduler).unwrap();
        match world.run(token) {
            Ok(outcome) => assert_eq!(outcome.output, expected),
            Err(error) => assert!(text(&error).contains("scheduling policy"), "{}", text(&error)),
        }
    }
}

fn domain(token: &SingleThreaded) {
    let mut world =
        World::new("busybox uname -m; grep -m1 -o 'bind=static:0' /proc/self/numa_maps");
    world.linux().personality = serde_json::from_str(r#"{"domain":"LINUX32"}"#).unwrap();
    world.linux().memory_policy =
        serde_json::from_str(r#"{"mode":"MPOL_BIND","nodes":"0","flags":["MPOL_F_STATIC_NODES"]}"#)
            .unwrap();
    assert_eq!(world.output(token), "i686\nbind=static:0\n");

    let linux = world.linux().clone();
    let show = process(&world, "busybox uname -m");
    world.while_running(token, |container| {
        let all = Confinement::of(&linux);
        let (_, output) = run_confined(token, container, &show, all).unwrap();
        assert_eq!(output, "i686\n", "further processes are in it too");
    });

    world.linux().memory_policy.as_mut().unwrap().nodes = "1000".to_owned();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("memory policy"), "{error}");
}

fn processors(token: &SingleThreaded) {
    let mut world = World::new("");
    let mut show = process(&world, "grep Cpus_allowed_list /proc/self/status");
    world.while_running(token, |container| {
        let mut on = |affinity: &str| {
            show.exec_cpu_affinity = serde_json::from_str(affinity).unwrap();
            run_confined(token, container, &show, Confinement::default()).unwrap().1
        };
        assert_eq!(on(r#"{"initial":"0"}"#), "Cpus_allowed_list:\t0\n");
        assert_eq!(on(r#"{"initial":"0","final":"1"}"#), "Cpus_allowed_list:\t1\n");
    });
}

fn with_time(script: &str) -> World {
    let mut world = World::new(script);
    world.linux().namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    world
}

fn uptime(text: &str) -> f64 {
    text.split(['.', ' ']).next().unwrap().parse().unwrap()
}

fn clocks(token: &SingleThreaded) {
    let host = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    let mut world = with_time("cat /proc/uptime");
    world.linux().time_offsets =
        serde_json::from_str(r#"{"boottime":{"secs":1000000,"nanosecs":0}}"#).unwrap();
    let inside = uptime(&world.output(token));
    assert!((1_000_000.0..1_000_100.0).contains(&(inside - host)), "{host} {inside}");
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    assert_eq!(own("time_for_children"), own("time"), "the caller's children are born as before");

    // The kernel refuses a clock before its beginning.
    world.linux().time_offsets =
        serde_json::from_str(r#"{"monotonic":{"secs":-1000000000,"nanosecs":0}}"#).unwrap();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("timens_offsets"), "{error}");
    assert_eq!(own("time_for_children"), own("time"));
}

fn join_time(token: &SingleThreaded) {
    let mut first = with_time("");
    first.linux().time_offsets =
        serde_json::from_str(r#"{"boottime":{"secs":1000000,"nanosecs":0}}"#).unwrap();
    first.while_running(token, |container| {
        let mut second = with_time("cat /proc/uptime");
        let path = format!("/proc/{}/ns/time", container.process.pid().as_raw_nonzero());
        second.linux().namespaces.last_mut().unwrap().path = Some(path);
        assert!(uptime(&second.output(token)) > 1_000_000.0);
    });
}
