//! Control groups by way of systemd, by a real one: the first process of a Debian in the virtual
//! machine.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel, Machine, debian_with_systemd};

use crate::BRIG;
use crate::vm_runtime::configuration;

/// A root of busybox at `/bundle/rootfs`, and what all scripts use.
const PREPARE: &str = r#"
    mkdir -p /bundle/rootfs/bin /bundle/rootfs/proc /bundle/rootfs/dev /bundle/rootfs/sys
    cp /bin/busybox /bundle/rootfs/bin/
    for name in sh cat sleep true mkdir; do ln -s busybox /bundle/rootfs/bin/$name; done
    cp /config.json /bundle/
    oci() { brig runtime --root /run/oci --systemd-cgroup "$@"; }
    leave() { oci "$@" </dev/null >/dev/null 2>/left || { cat /left; false; }; }
    not() { if "$@"; then echo "it succeeded: $*"; false; fi; }
    is() { test "$(cat $1)" = "$2" || { echo "$1: $(cat $1), not $2"; false; }; }
    has() { found=$(systemctl show -p $2 --value $1); test "$found" = "$3" || { echo "$1 $2: $found, not $3"; false; }; }
    gone() {
        test "$(systemctl show -p LoadState --value $1)" = not-found
        for left in /sys/fs/cgroup/$2 /run/systemd/transient/$1* /run/systemd/system.control/$1*; do test ! -e $left; done
    }
"#;

fn boot(change: impl FnOnce(&mut Value), script: &str) {
    let config = configuration(|config| {
        config["linux"]["cgroupsPath"] = json!("test-inner.slice:brig:one");
        change(config);
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    let script = format!("{PREPARE}{script}");
    let system = debian_with_systemd();
    let boot = Boot {
        files: vec![(Path::new(BRIG), "/bin/brig"), (&*path, "/config.json")],
        script: &script,
        system: Some(&system),
        ..Boot::default()
    };
    drop(Machine::boot(&Kernel::prepare(), &boot).finish());
}

/// Limits are systemd's and the kernel's, a reload keeps them, and nothing stays of a unit.
#[test]
fn a_container_is_a_scope() {
    let change = |config: &mut Value| {
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({"limit": 64 << 20, "reservation": 16 << 20, "swap": 96 << 20});
        resources["cpu"] =
            json!({"shares": 2048, "quota": 50000, "period": 100_000, "cpus": "0-1"});
        resources["pids"] = json!({"limit": 50});
        resources["unified"] = json!({"memory.high": "50331648"});
        resources["devices"] = json!([{"allow": false, "access": "rwm"}]);
        config["linux"]["devices"] =
            json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 438}]);
        config["annotations"] = json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.Description": "'a test of brig'",
        });
    };
    let script = r##"
        unit=brig-one.scope
        path=test.slice/test-inner.slice/$unit
        group=/sys/fs/cgroup/$path
        leave create -b /bundle one
        oci state one | grep -q created
        oci start one
        has $unit ActiveState active
        has $unit Slice test-inner.slice
        has $unit Delegate yes
        has $unit Description 'a test of brig'
        has $unit TimeoutStopUSec 7s
        limits() {
            is $group/memory.max 67108864
            is $group/memory.high 50331648
            is $group/memory.low 16777216
            is $group/memory.swap.max 33554432
            is $group/pids.max $1
            is $group/cpu.max "50000 100000"
            is $group/cpu.weight $2
            is $group/cpuset.cpus 0-1
            oci exec one /bin/sh -c 'echo > /dev/null'
            not oci exec one /bin/sh -c 'echo > /dev/kmsg' 2>/dev/null
        }
        weight=$(cat $group/cpu.weight); test $weight -gt 100
        limits 50 $weight
        has $unit MemoryMax 67108864
        has $unit MemoryHigh 50331648
        has $unit TasksMax 50
        has $unit CPUWeight $weight
        has $unit CPUQuotaPerSecUSec 500ms
        has $unit AllowedCPUs 0-1
        systemctl daemon-reload
        limits 50 $weight
        oci update --pids-limit 60 --cpu-share 512 one
        weight=$(cat $group/cpu.weight); test $weight -lt 100
        systemctl daemon-reload
        limits 60 $weight
        has $unit TasksMax 60
        oci exec one /bin/cat /proc/self/cgroup | grep -q '^0::/$'
        test $(wc -l < $group/cgroup.procs) = 1
        oci pause one
        oci state one | grep -q paused
        systemctl daemon-reload
        oci resume one
        oci ps -f json one | grep -q '^\[[0-9]'
        oci events --stats one | grep -q '"limit":60'
        # Whoever else wants the name is told, and the container lives.
        cp -a /bundle /other
        not oci run -b /other two </dev/null 2>/error
        grep -q 'did not start the unit brig-one.scope' /error
        oci state one | grep -q running
        oci delete -f one
        gone $unit $path
        test -z "$(oci list -q)"
    "##;
    boot(change, script);
}

/// However a container ends, and whoever ends it, nothing stays of its unit.
#[test]
fn a_scope_goes_with_its_container() {
    let change = |config: &mut Value| {
        config["annotations"] = json!({"org.systemd.property.TimeoutStopSec": "7"});
    };
    let script = r##"
        unit=brig-one.scope
        path=test.slice/test-inner.slice/$unit
        sed -i 's#"/bin/sleep","1000"#"/bin/true"#' /bundle/config.json
        for i in 1 2 3 4 5; do oci run -b /bundle one </dev/null; gone $unit $path; done
        sed -i 's#"/bin/true"#"/not/there"#' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -q /not/there /error
        gone $unit $path
        test -z "$(systemctl list-units --failed --plain --no-legend)"
        sed -i 's#"/not/there"#"/bin/sleep","1000"#' /bundle/config.json
        # systemd ends it, and brig sees that it has ended.
        leave run -d -b /bundle one
        systemctl stop $unit
        oci state one | grep -q stopped
        oci delete one
        gone $unit $path
        sed -i 's/test-inner.slice:brig:one/nonsense/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -q 'slice:prefix:name' /error
        sed -i 's/"7"/"soon"/; s/nonsense/:brig:one/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -q 'TimeoutStopSec: .*soon' /error
        test -z "$(oci list -q)"
    "##;
    boot(change, script);
}

/// A container with ids of its own has its group for itself, and so by either driver.
#[test]
fn its_group_is_the_containers_own() {
    let change = |config: &mut Value| {
        let linux = &mut config["linux"];
        linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for maps in ["uidMappings", "gidMappings"] {
            linux[maps] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        }
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
            }
        }
    };
    let script = r#"
        chown -R 100000:100000 /bundle/rootfs
        leave run -d -b /bundle one
        below() {
            oci exec one /bin/sh -c 'cd /sys/fs/cgroup && mkdir below && echo $$ > below/cgroup.procs && cat /proc/self/cgroup' | grep -q '^0::/below$'
            not oci exec one /bin/sh -c 'echo 1 > /sys/fs/cgroup/pids.max' 2>/dev/null
        }
        below
        oci delete -f one
        gone brig-one.scope test.slice/test-inner.slice/brig-one.scope
        oci() { brig runtime --root /run/oci "$@"; }
        sed -i 's/test-inner.slice:brig:one/\/test\/one/' /bundle/config.json
        leave run -d -b /bundle one
        below
        oci delete -f one
        test ! -e /sys/fs/cgroup/test/one
    "#;
    boot(change, script);
}
