//! The OCI face in a kernel with cgroup v2 alone, and with hierarchies of v1 that this machine lacks.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel, Machine, make_disk};

use crate::BRIG;

/// A root of busybox at `/bundle/rootfs`, and what all scripts use.
const PREPARE: &str = r#"
    mkdir -p /bundle/rootfs/bin /bundle/rootfs/proc /bundle/rootfs/dev /bundle/rootfs/sys
    cp /bin/busybox /bundle/rootfs/bin/
    for name in sh cat sleep dd echo true; do ln -s busybox /bundle/rootfs/bin/$name; done
    cp /config.json /bundle/
    oci() { brig runtime --root /run/oci "$@"; }
    leave() { oci "$@" </dev/null >/dev/null 2>&1; }
    not() { if "$@"; then echo "it succeeded: $*"; false; fi; }
    is() { test "$(cat $1)" = "$2" || { echo "$1: $(cat $1), not $2"; false; }; }
"#;

/// Boots with a bundle whose configuration is changed, and runs the script to its end.
fn boot(change: impl FnOnce(&mut Value), script: &str) {
    boot_with(&Kernel::prepare(), change, Boot { script, ..Boot::default() });
}

/// What `brig runtime spec` writes, for a program that sleeps in a group of its own, and changed.
pub(crate) fn configuration(change: impl FnOnce(&mut Value)) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let mut command = stdx::process::command(BRIG);
    command.args(["runtime", "spec", "-b"]).arg(directory.path());
    stdx::process::output(&mut command).unwrap();
    let text = fs::read(directory.path().join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&text).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    config["linux"]["cgroupsPath"] = json!("/test/one");
    change(&mut config);
    config
}

/// As [`boot`], with more files and words for the kernel.
pub(crate) fn boot_with(kernel: &Kernel, change: impl FnOnce(&mut Value), boot: Boot<'_>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, configuration(change).to_string()).unwrap();
    let script = format!("{PREPARE}{}", boot.script);
    let mut files = vec![(Path::new(BRIG), "/bin/brig"), (&*path, "/config.json")];
    files.extend(boot.files);
    let boot = Boot { files, script: &script, ..boot };
    drop(Machine::boot(kernel, &boot).finish());
}

/// A program of this machine, and the libraries that it wants where they are.
pub(crate) fn with_libraries(program: &str) -> (PathBuf, Vec<PathBuf>) {
    let needed = stdx::process::output(stdx::process::command("ldd").arg(program)).unwrap();
    let needed = String::from_utf8(needed.stdout).unwrap();
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/'));
    (program.into(), libraries.map(PathBuf::from).collect())
}

#[test]
fn every_limit_of_cgroup_v2() {
    let change = |config: &mut Value| {
        config["linux"]["devices"] =
            json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 438}]);
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({
            "limit": 32 << 20, "swap": 48 << 20, "reservation": 8 << 20,
            "kernel": -1, "kernelTCP": -1,
        });
        resources["cpu"] = json!({
            "shares": 512, "quota": 50000, "period": 100_000, "burst": 10000,
            "cpus": "0", "mems": "0",
        });
        resources["pids"] = json!({"limit": 30});
        resources["blockIO"] = json!({"weight": 500});
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        resources["unified"] = json!({"memory.high": "16777216", "cgroup.max.depth": "3"});
    };
    let script = r#"
        leave run -d -b /bundle one
        group=/sys/fs/cgroup/test/one
        is $group/memory.max 33554432
        is $group/memory.low 8388608
        is $group/memory.high 16777216
        is $group/cpu.max "50000 100000"
        is $group/cpu.max.burst 10000
        is $group/cpu.weight 59
        is $group/cpuset.cpus 0
        is $group/pids.max 30
        is $group/hugetlb.2MB.max 4194304
        is $group/cgroup.max.depth 3
        test ! -e $group/memory.swap.max || is $group/memory.swap.max 16777216
        test ! -e $group/io.weight || is $group/io.weight "default 4950"
        oci exec one /bin/sh -c 'echo > /dev/null'
        not oci exec one /bin/sh -c 'echo > /dev/kmsg' 2>/dev/null
        oci exec one /bin/cat /proc/self/cgroup | grep -q '^0::/$'
        oci pause one
        grep -q 'frozen 1' $group/cgroup.events
        oci state one | grep -q paused
        oci resume one
        oci update --memory 64m --memory-swap 96m --cpu-idle 1 --pids-limit 40 one
        is $group/memory.max 67108864
        is $group/pids.max 40
        is $group/cpu.idle 1
        is $group/cpuset.cpus 0
        oci events --stats one | grep -q '"pids":{"current":1,"limit":40}'
        oci events one > /events & events=$!
        oci exec one /bin/dd if=/dev/zero of=/dev/null bs=90M count=1 || echo "ended with $?"
        oci kill --all one KILL
        wait $events
        # For the kill, and not each time that `memory.high` or `memory.max` was met.
        grep -c '"type":"oom"' /events > /kills
        is /kills 1
        oci delete one
        test ! -e $group
    "#;
    boot(change, script);
}

/// Limits of one device want a device, and weights a scheduler that knows them.
#[test]
fn limits_of_a_block_device() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    make_disk(&disk, 64, None);
    let change = |config: &mut Value| {
        let rate = |rate: u64| json!([{"major": 254, "minor": 0, "rate": rate}]);
        config["linux"]["resources"]["blockIO"] = json!({
            "weight": 300,
            "weightDevice": [{"major": 254, "minor": 0, "weight": 700}],
            "throttleReadBpsDevice": rate(1 << 20), "throttleWriteBpsDevice": rate(2 << 20),
            "throttleReadIOPSDevice": rate(100), "throttleWriteIOPSDevice": rate(200),
        });
    };
    let script = r#"
        test $(stat -c %t:%T /dev/vda) = fe:0
        echo bfq > /sys/block/vda/queue/scheduler
        leave run -d -b /bundle one
        group=/sys/fs/cgroup/test/one
        is $group/io.bfq.weight "default 300
254:0 700"
        is $group/io.max "254:0 rbps=1048576 wbps=2097152 riops=100 wiops=200"
        oci update --blkio-weight 400 one
        grep -q 'default 400' $group/io.bfq.weight
        # Eight megabytes at two a second.
        began=$(cut -d. -f1 /proc/uptime)
        sh -c 'echo $$ > '$group'/cgroup.procs; dd if=/dev/zero of=/disk/file bs=1M count=8 oflag=direct'
        test $(($(cut -d. -f1 /proc/uptime) - began)) -ge 3
        oci delete -f one
        sed -i 's/"weight": *700/"leafWeight": 5/; s/"weight":700/"leafWeight":5/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -i 'leaf' /error
    "#;
    let boot = Boot { script, disk: Some(&disk), modules: &["bfq"], ..Boot::default() };
    boot_with(&Kernel::prepare(), change, boot);
}

/// So do limits of an RDMA device: this one is made of software, over the loopback device.
#[test]
fn limits_of_an_rdma_device() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("contexts");
    let mut compiler = stdx::process::command("cc");
    compiler.args(["-O1", "-static", "-o"]).arg(&program);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rdma_contexts.c"));
    stdx::process::output(&mut compiler).unwrap();
    let change = |config: &mut Value| {
        let linux = &mut config["linux"];
        linux["resources"]["rdma"] = json!({"soft": {"hcaHandles": 3, "hcaObjects": 100}});
        let device =
            json!({"type": "c", "major": 231, "minor": 192, "access": "rw", "allow": true});
        linux["resources"]["devices"].as_array_mut().unwrap().push(device);
        linux["devices"] = json!([{"path": "/dev/verbs", "type": "c", "major": 231, "minor": 192}]);
    };
    let script = r#"
        not oci run -b /bundle one </dev/null 2>/error
        grep -q 'soft' /error
        rdma link add soft type rxe netdev lo
        test "$(stat -c %t:%T /dev/infiniband/uverbs0)" = e7:c0
        cp /bin/contexts /bundle/rootfs/bin/
        leave run -d -b /bundle one
        group=/sys/fs/cgroup/test/one
        is $group/rdma.max "soft hca_handle=3 hca_object=100 "
        test $(contexts /dev/infiniband/uverbs0 9) = 9
        test $(oci exec one /bin/contexts /dev/verbs 9) = 3
        test $(oci exec one /bin/contexts /dev/verbs 2) = 2
        oci delete -f one
    "#;
    let (tool, libraries) = with_libraries("/usr/bin/rdma");
    let mut files = vec![(&*program, "/bin/contexts"), (&*tool, "/bin/rdma")];
    files.extend(libraries.iter().map(|library| (&**library, library.to_str().unwrap())));
    let boot = Boot {
        script,
        files,
        modules: &["crc32_generic", "rdma_rxe", "ib_uverbs"],
        ..Boot::default()
    };
    boot_with(&Kernel::prepare_full(), change, boot);
}

/// The kernel has these two in version 1 only, beside everything else in version 2.
#[test]
fn classes_and_priorities_of_packets() {
    let change = |config: &mut Value| {
        config["linux"]["resources"]["network"] =
            json!({"classID": 0x10_0001, "priorities": [{"name": "lo", "priority": 5}]});
    };
    let script = r#"
        mkdir /run/net
        mount -t cgroup -o net_cls,net_prio net /run/net
        leave run -d -b /bundle one
        is /run/net/test/one/net_cls.classid 1048577
        grep -q 'lo 5' /run/net/test/one/net_prio.ifpriomap
        oci exec one /bin/cat /proc/self/cgroup
        oci delete -f one
        test ! -e /run/net/test/one
        test ! -e /sys/fs/cgroup/test/one
    "#;
    boot(change, script);
}

/// What version 2 has not is said, and nothing is left.
#[test]
fn what_cgroup_v2_has_not() {
    let change = |config: &mut Value| {
        config["linux"]["resources"]["memory"] = json!({"limit": 32 << 20, "swappiness": 10});
    };
    let script = r#"
        not oci run -b /bundle one </dev/null 2>/error
        grep 'swappiness in cgroup v2' /error
        test ! -e /sys/fs/cgroup/test/one
        test -z "$(oci list -q)"
        sed -i 's/"swappiness":10/"kernel":1000/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep "kernel's memory in cgroup v2" /error
        sed -i 's/"memory":{[^}]*}/"cpu":{"realtimeRuntime":1000}/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep 'real-time tasks in cgroup v2' /error
        sed -i 's/"cpu":{[^}]*}/"rdma":{"mlx5_1":{"hcaHandles":3}}/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep 'rdma.max' /error
        test ! -e /sys/fs/cgroup/test/one
    "#;
    boot(change, script);
}
