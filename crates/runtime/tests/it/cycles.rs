//! Thousands of containers by one process: nothing piles up in it, nor around it.

use std::fs;
use std::os::fd::OwnedFd;

use linux::process::{ExitStatus, SingleThreaded};
use runtime::Stdio;
use testkit::forked::Test;

use crate::world::{World, mounts};

pub(crate) const TESTS: &[Test] = &[("cycles::ten_thousand_containers_leave_nothing", cycles)];

const CYCLES: usize = 10_000;

/// How many before it is looked at what has been left.
const ROUND: usize = 1000;

/// What a process may fill of memory for what it keeps ready (pages of its allocator).
const SLACK: usize = 512 << 10;

fn cycles(token: &SingleThreaded) {
    let world = World::new("true");
    let mut wrong = World::new("true");
    wrong.process().cwd = "/bin/busybox/no/directory".to_owned();
    one_round(token, &world, &wrong);
    let before = Belongings::look(&world);
    for _ in 1..CYCLES / ROUND {
        one_round(token, &world, &wrong);
        let after = Belongings::look(&world);
        assert_eq!(before.counted, after.counted);
        let grown = after.memory.saturating_sub(before.memory);
        assert!(grown < SLACK, "{grown} bytes more than after the first round");
    }
}

fn one_round(token: &SingleThreaded, world: &World, wrong: &World) {
    for number in 0..ROUND {
        match number % 10 {
            0 => abandoned(token, world),
            1 => with_terminal(token, world),
            2 => assert!(wrong.run(token).is_err()),
            3 => world.birth(token, streams()).abandon(),
            _ => to_its_end(token, world),
        }
    }
}

fn to_its_end(token: &SingleThreaded, world: &World) {
    let created = world.birth(token, streams()).start().unwrap();
    assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(0));
    created.cgroup.unwrap().delete().unwrap();
}

/// Created, never started: it ends when its creator lets it go.
fn abandoned(token: &SingleThreaded, world: &World) {
    let created = world.create(token, streams()).unwrap();
    created.process.signal(9).unwrap();
    created.process.wait().unwrap();
    created.cgroup.unwrap().delete().unwrap();
}

fn with_terminal(token: &SingleThreaded, world: &World) {
    let mut created = world.create(token, Stdio::Terminal).unwrap();
    created.start().unwrap();
    created.process.wait().unwrap();
    created.cgroup.unwrap().delete().unwrap();
}

fn streams() -> Stdio {
    let null = || -> OwnedFd { fs::File::open("/dev/null").unwrap().into() };
    Stdio::Descriptors { stdin: null(), stdout: null(), stderr: null() }
}

struct Belongings {
    counted: Counted,
    memory: usize,
}

#[derive(Debug, PartialEq)]
struct Counted {
    descriptors: usize,
    mounts: String,
    groups: Vec<String>,
    keyrings: usize,
}

impl Belongings {
    fn look(world: &World) -> Self {
        world.assert_gone();
        let parent = format!("brig-test-{}", world.id);
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
        let groups = hierarchies.flat_map(|hierarchy| {
            fs::read_dir(hierarchy.path().join(&parent)).into_iter().flatten().flatten()
        });
        let directories = groups.filter(|entry| entry.path().is_dir());
        // As many pages as are its own (proc(5), `/proc/PID/statm`).
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: Vec<usize> =
            statm.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Self {
            counted: Counted {
                descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
                mounts: mounts(),
                groups: directories.map(|entry| entry.path().display().to_string()).collect(),
                keyrings: keyrings(&world.id),
            },
            memory: (pages[1] - pages[2]) * 4096,
        }
    }
}

/// Session keyrings of the container's: each goes with its last process.
fn keyrings(id: &str) -> usize {
    let name = format!("_ses.{id}");
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    keys.lines().filter(|line| line.contains(&name)).count()
}
