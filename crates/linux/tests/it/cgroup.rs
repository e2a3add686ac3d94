//! Control groups on the machine's own hierarchies, below `/brig-test-…`, removed at the end.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use linux::cgroup::{
    Cpu, DeviceAccess, DeviceKind, DeviceRule, Group, Layout, Limits, Memory, Version,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

/// A group of a test's own, two levels deep, gone at the end with all that is in it.
struct Scratch {
    parent: String,
    group: Group,
}

impl Scratch {
    fn new() -> Self {
        let parent = format!("/brig-test-{}", stdx::hex::encode(&stdx::random::bytes::<4>()));
        let layout = Layout::detect().unwrap();
        let group = Group::create(layout, &format!("{parent}/container")).unwrap();
        Self { parent, group }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.group.kill().unwrap();
        let parent = Group::open(Layout::detect().unwrap(), &self.parent).unwrap();
        parent.delete().unwrap();
        assert!(Group::open(Layout::detect().unwrap(), &self.parent).is_err());
    }
}

fn sleeper() -> Child {
    stdx::process::command("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn a_group_is_in_every_hierarchy_and_takes_processes() {
    let scratch = Scratch::new();
    let mut child = sleeper();
    scratch.group.add(pid_of(&child)).unwrap();
    assert_eq!(scratch.group.processes().unwrap(), [pid_of(&child)]);
    let table = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let count = table.lines().filter(|line| line.ends_with(scratch.group.path())).count();
    assert_eq!(count, Layout::detect().unwrap().hierarchies().len(), "{table}");
    let again = Group::create(Layout::detect().unwrap(), scratch.group.path()).unwrap_err();
    assert_eq!(again.kind(), stdx::ErrorKind::Conflict);
    scratch.group.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn limits_are_read_back_as_usage() {
    let scratch = Scratch::new();
    let limits = Limits {
        memory: Memory {
            limit: Some(64 << 20),
            swap: Some(64 << 20),
            reservation: Some(32 << 20),
            ..Memory::default()
        },
        cpu: Cpu {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(200_000),
            cpus: Some("0".to_owned()),
            ..Cpu::default()
        },
        pids: Some(17),
        ..Limits::default()
    };
    scratch.group.apply(&limits).unwrap();
    let raised = Memory { limit: Some(128 << 20), swap: Some(256 << 20), ..Memory::default() };
    scratch.group.apply(&Limits { memory: raised, ..Limits::default() }).unwrap();
    let mut child = sleeper();
    scratch.group.add(pid_of(&child)).unwrap();
    let usage = scratch.group.usage().unwrap();
    assert_eq!(usage.memory.limit, Some(128 << 20));
    assert_eq!((usage.pids.current, usage.pids.limit), (1, Some(17)));
    assert!(!usage.memory.stat.is_empty());
    scratch.group.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn frozen_processes_neither_run_nor_escape_the_kill() {
    let scratch = Scratch::new();
    let mut child = sleeper();
    scratch.group.add(pid_of(&child)).unwrap();
    scratch.group.freeze().unwrap();
    assert!(scratch.group.is_frozen().unwrap());
    scratch.group.thaw().unwrap();
    assert!(!scratch.group.is_frozen().unwrap());
    scratch.group.freeze().unwrap();
    scratch.group.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn running_out_of_memory_is_told() {
    let scratch = Scratch::new();
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    scratch.group.apply(&Limits { memory, ..Limits::default() }).unwrap();
    let mut watch = scratch.group.oom_events().unwrap();
    assert_eq!(watch.kills(), 0);
    let mut child = stdx::process::command("sh")
        .args(["-c", "read go; tail /dev/zero"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    scratch.group.add(pid_of(&child)).unwrap();
    drop(child.stdin.take());
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    let fd = watch.as_fd();
    assert_eq!(poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&patience)), Ok(1));
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert_eq!(watch.kills(), 1);
    assert_eq!(scratch.group.usage().unwrap().memory.oom_kills, 1);
}

#[test]
fn device_rules_are_enforced() {
    let scratch = Scratch::new();
    let rule = |allow, kind, minor| DeviceRule {
        allow,
        kind,
        major: Some(1),
        minor: Some(minor),
        access: DeviceAccess::ALL,
    };
    let devices = vec![rule(false, DeviceKind::All, 0), rule(true, DeviceKind::Character, 3)];
    scratch.group.apply(&Limits { devices, ..Limits::default() }).unwrap();
    let mut child = stdx::process::command("sh")
        .args(["-c", "read go; true </dev/null && ! true </dev/zero"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    scratch.group.add(pid_of(&child)).unwrap();
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_this_machine_cannot_limit_is_said() {
    let scratch = Scratch::new();
    let mut limits = Limits::default();
    limits.unified.insert("../cgroup.kill".to_owned(), "1".to_owned());
    assert!(scratch.group.apply(&limits).is_err());
    limits.unified.clear();
    limits.unified.insert("cgroup.max.depth".to_owned(), "7".to_owned());
    let has_v2 =
        Layout::detect().unwrap().hierarchies().iter().any(|each| each.version == Version::V2);
    assert_eq!(scratch.group.apply(&limits).is_ok(), has_v2);
}

#[test]
fn deleting_waits_for_the_dying_and_takes_what_is_below() {
    let scratch = Scratch::new();
    let layout = Layout::detect().unwrap();
    let below = Group::create(layout, &format!("{}/a/b", scratch.group.path())).unwrap();
    let mut children: Vec<Child> = (0..20).map(|_| sleeper()).collect();
    for child in &children {
        below.add(pid_of(child)).unwrap();
    }
    assert_eq!(scratch.group.processes().unwrap().len(), 20);
    scratch.group.kill().unwrap();
    scratch.group.delete().unwrap();
    assert!(Group::open(layout, scratch.group.path()).is_err());
    for child in &mut children {
        child.wait().unwrap();
    }
}

/// Not a bound (machines are noisy): shows what a group costs.
#[test]
fn cost_of_a_group() {
    let scratch = Scratch::new();
    let layout = Layout::detect().unwrap();
    let mut times = Vec::new();
    for number in 0..50 {
        let mut child = sleeper();
        let path = format!("{}/{number}", scratch.parent);
        let start = std::time::Instant::now();
        let group = Group::create(layout, &path).unwrap();
        group.add(pid_of(&child)).unwrap();
        let made = start.elapsed();
        group.kill().unwrap();
        child.wait().unwrap();
        let start = std::time::Instant::now();
        group.delete().unwrap();
        times.push((made, start.elapsed()));
    }
    times.sort_unstable();
    println!("made {:?}, deleted {:?}", times[25].0, times[25].1);
}
