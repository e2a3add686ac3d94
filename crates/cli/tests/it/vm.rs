//! What this machine's kernel cannot show: cgroup v2, a reboot, a power cut.

use std::path::Path;

use testkit::vm::{Boot, Kernel, Machine, make_disk};

use crate::BRIG;

fn machine(script: &str, disk: Option<&Path>) -> Machine {
    let kernel = Kernel::prepare();
    let boot = Boot { files: vec![(Path::new(BRIG), "/bin/brig")], script, disk };
    Machine::boot(&kernel, &boot)
}

/// Limits are set and read back on cgroup v2; freezing and killing work there.
#[test]
fn limits_on_cgroup_v2() {
    let script = r#"
        brig run --rm hello | grep -i hello
        brig run -d --name limited --memory 64m --cpus 0.5 --pids-limit 20 hello serve
        group=$(find /sys/fs/cgroup -path '*brig-*' -name pids.max | grep "$(brig inspect -f '{{.Id}}' limited)")
        test "$(cat $group)" = 20
        test "$(cat ${group%pids.max}memory.max)" = 67108864
        test "$(cat ${group%pids.max}cpu.max)" = "50000 100000"
        brig stats --no-stream --format '{{.MemUsage}}' limited | grep 64MiB
        brig pause limited
        grep -q 1 ${group%pids.max}cgroup.freeze
        brig unpause limited
        brig rm -f limited
        test ! -e $group
        brig system shutdown --all
    "#;
    drop(machine(script, None).finish());
}

/// A fresh boot finds what was durable, discards what was not, and applies restart policies.
#[test]
fn a_reboot_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    make_disk(&disk, 512);
    let first = r#"
        brig --root /disk/brig run -d --name kept hello serve
        brig --root /disk/brig run -d --name again --restart always hello serve
        brig --root /disk/brig run -d --rm --name passing hello serve
        echo ready for the cut
        sleep 100
    "#;
    let mut machine_one = machine(first, Some(&disk));
    machine_one.wait_for("ready for the cut");
    machine_one.cut_power();
    let second = r#"
        brig --root /disk/brig ps -a --format '{{.Names}} {{.State}}'
        test "$(brig --root /disk/brig inspect -f '{{.State.Status}}' kept)" = exited
        test "$(brig --root /disk/brig inspect -f '{{.State.Status}}' again)" = running
        if brig --root /disk/brig inspect passing; then false; fi
        brig --root /disk/brig start kept
        brig --root /disk/brig rm -f kept again
        brig --root /disk/brig run --rm hello
        brig --root /disk/brig system shutdown --all
    "#;
    drop(machine(second, Some(&disk)).finish());
}
