//! Terminals.

use linux::process::SingleThreaded;
use oci::runtime::ConsoleSize;
use runtime::Stdio;
use testkit::forked::Test;

use crate::world::{World, read};

pub(crate) const TESTS: &[Test] = &[
    ("terminal::is_the_containers_own", own),
    ("terminal::interrupt_key_reaches_the_program", key),
];

fn own(token: &SingleThreaded) {
    let mut world = World::new(
        "tty; stty size; stat -c '%t:%T' /dev/console; test -t 0 && test -t 2 && echo all; \
         echo controlled > /dev/tty; stat -c %u /dev/pts/0",
    );
    world.process().console_size = Some(ConsoleSize { height: 33, width: 99 });
    world.process().user.uid = 1000;
    let mut created = world.create(token, Stdio::Terminal).unwrap();
    let master = created.terminal.take().unwrap();
    created.start().unwrap();
    assert_eq!(read(master), "/dev/pts/0\n33 99\n88:0\nall\ncontrolled\n1000\n");
    created.process.wait().unwrap();
    created.cgroup.unwrap().delete().unwrap();
}

fn key(token: &SingleThreaded) {
    let world = World::new(
        "trap : INT; sh -c 'echo ready; exec sleep 1000'; test $? = 130 && echo caught && exit 3",
    );
    let mut created = world.create(token, Stdio::Terminal).unwrap();
    let master = created.terminal.take().unwrap();
    created.start().unwrap();
    let mut seen = String::new();
    while !seen.contains("ready") {
        let mut piece = [0; 64];
        let length = rustix::io::read(&master, &mut piece).unwrap();
        seen.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    rustix::io::write(&master, b"\x03").unwrap();
    assert_eq!(created.process.wait().unwrap().code(), 3);
    assert!(read(master).contains("caught"));
    created.cgroup.unwrap().delete().unwrap();
}
