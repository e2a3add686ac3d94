//! The log of a container: rotated and compressed beside it, never in its way.

use linux::process::SingleThreaded;
use observe::log::LogOptions;
use testkit::forked::Test;

use crate::world::{World, exited, release, started};

pub(crate) const TESTS: &[Test] = &[
    ("log::rotates_and_compresses_while_the_container_writes", rotates),
    ("log::is_not_kept_when_not_wanted", none),
    ("log::goes_on_over_a_restart", restart),
];

fn rotates(token: &SingleThreaded) {
    let world = World::new(token);
    let mut container =
        world.container("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    let options = LogOptions { max_size: 100_000, max_files: 100, compress: true };
    container.launch.log.as_mut().unwrap().options = options;
    let control = world.launch(&container);
    started(&control);
    assert_eq!(exited(&control).warnings, [""; 0]);
    release(&control);
    let expected: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(container.log(), expected);
    let directory = container.log_path().parent().unwrap().to_owned();
    let compressed = std::fs::read_dir(directory)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "gz"))
        .count();
    assert!(compressed > 5, "{compressed}");
}

fn none(token: &SingleThreaded) {
    let world = World::new(token);
    let mut container = world.container("echo something");
    let path = container.log_path();
    container.launch.log = None;
    let control = world.launch(&container);
    exited(&control);
    release(&control);
    assert!(!path.exists());
}

fn restart(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("printf again");
    for _ in 0..3 {
        let control = world.launch(&container);
        exited(&control);
        release(&control);
    }
    assert_eq!(container.log(), "againagainagain");
}
