//! Control groups by way of systemd, by a real one: the first process of a Debian in the virtual
//! machine.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel, Machine, debian_with_engines, debian_with_systemd};

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
    boot_system(&debian_with_systemd(), change, script);
}

fn boot_system(system: &Path, change: impl FnOnce(&mut Value), script: &str) {
    let config = configuration(|config| {
        config["linux"]["cgroupsPath"] = json!("test-inner.slice:brig:one");
        change(config);
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, config.to_string()).unwrap();
    let script = format!("{PREPARE}{script}");
    let boot = Boot {
        files: vec![(Path::new(BRIG), "/bin/brig"), (&*path, "/config.json")],
        script: &script,
        system: Some(system),
        modules: &["bfq"],
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
            json!({"shares": 2048, "quota": 50000, "period": 100_000, "cpus": "0-1", "mems": "0"});
        resources["blockIO"] = json!({"weight": 300});
        resources["pids"] = json!({"limit": 50});
        resources["unified"] = json!({"memory.high": "50331648", "memory.min": "8388608"});
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
            is $group/memory.min 8388608
            is $group/io.bfq.weight 'default 300'
            is $group/cpuset.mems 0
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
        has $unit MemoryLow 16777216
        has $unit MemoryMin 8388608
        has $unit MemorySwapMax 33554432
        has $unit AllowedMemoryNodes 0
        has $unit IOWeight 2300
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
        oci pause one; oci state one | grep -q paused
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

/// Without systemd nothing is half done: no limit, no container, no end.
#[test]
fn systemd_is_out_of_reach_for_a_while() {
    let change = |config: &mut Value| config["linux"]["resources"]["pids"] = json!({"limit": 50});
    let script = r#"
        unit=brig-one.scope
        path=test.slice/test-inner.slice/$unit
        group=/sys/fs/cgroup/$path
        leave run -d -b /bundle one
        mv /run/systemd/private /run/systemd/away
        not oci update --pids-limit 70 one 2>/error
        grep -q 'cannot speak to systemd' /error
        is $group/pids.max 50
        sed 's/brig:one/brig:lost/' /bundle/config.json > /lost.json
        mkdir /lost; cp -a /bundle/rootfs /lost; mv /lost.json /lost/config.json
        not oci run -b /lost lost </dev/null 2>/error
        grep -q 'cannot speak to systemd' /error
        test "$(oci list -q)" = one
        oci kill one KILL
        until oci state one | grep -q stopped; do sleep 0.1; done
        not oci delete one 2>/error
        grep -q 'cannot speak to systemd' /error
        oci state one | grep -q stopped
        mv /run/systemd/away /run/systemd/private
        oci delete one
        gone $unit $path
        gone brig-lost.scope test.slice/test-inner.slice/brig-lost.scope
        # With force it goes all the same, and so does its unit.
        leave run -d -b /bundle one
        mv /run/systemd/private /run/systemd/away
        oci delete -f one 2>/error
        grep -q 'cannot speak to systemd' /error
        mv /run/systemd/away /run/systemd/private
        until gone $unit $path; do sleep 0.1; done
    "#;
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
        # A job that systemd takes, and that then fails.
        printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' > /run/systemd/system/failing.service
        needs="\"org.systemd.property.Requires\":\"['failing.service']\",\"org.systemd.property.After\":\"['failing.service']\""
        cp /bundle/config.json /good.json
        sed -i "s/\"org.systemd.property.TimeoutStopSec\":\"7\"/$needs/" /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -q 'did not start the unit brig-one.scope: its job ended as .*dependency' /error
        gone $unit $path
        test -z "$(oci list -q)"
        cp /good.json /bundle/config.json
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

/// Docker and podman have systemd make the groups of their containers, with brig as their runtime.
#[test]
fn engines_have_systemd_make_groups() {
    let script = r#"
        printf '#!/bin/sh\nexec brig runtime "$@"\n' > /bin/brig-runtime
        chmod +x /bin/brig-runtime
        scopes() { systemctl list-units --type scope --all --plain --no-legend | awk '{print $1}' | grep -Ev 'conmon|^init.scope' || true; }
        none() { for i in $(seq 100); do test -n "$(scopes)" || return 0; sleep 0.1; done; scopes; false; }
        # The group of a container's scope, which systemd knows the limits of.
        group() { systemctl show -p ControlGroup --value $1; }
        systemctl start dbus
        podman() { command podman --storage-driver vfs --runtime /bin/brig-runtime --cgroup-manager systemd "$@"; }
        podman run -d --name one --network none --memory 64m --pids-limit 50 --rootfs /bundle/rootfs /bin/sleep 1000
        scope=$(scopes)
        case $scope in libpod-*.scope) ;; *) echo "podman's scope is $scope"; false;; esac
        has $scope MemoryMax 67108864
        is /sys/fs/cgroup$(group $scope)/pids.max 50
        podman exec one /bin/cat /proc/self/cgroup | grep -q '^0::/'
        podman pause one
        podman unpause one
        systemctl daemon-reload
        is /sys/fs/cgroup$(group $scope)/memory.max 67108864
        podman container checkpoint --keep one
        test $(podman inspect -f '{{.State.Running}}' one) = false
        none
        podman container restore --keep one
        test $(podman inspect -f '{{.State.Running}}' one) = true
        podman exec one /bin/true
        scope=$(scopes)
        has $scope MemoryMax 67108864
        is /sys/fs/cgroup$(group $scope)/pids.max 50
        podman stop -t 1 one
        podman rm one
        none
        dockerd --experimental --iptables=false --bridge none --storage-driver vfs --exec-opt native.cgroupdriver=systemd \
            --add-runtime brig=/bin/brig-runtime --default-runtime brig > /dockerd.log 2>&1 &
        until docker version > /dev/null 2>&1; do kill -0 $! || { cat /dockerd.log; false; }; sleep 0.2; done
        docker info -f '{{.CgroupDriver}} {{.CgroupVersion}} {{.DefaultRuntime}}' | grep -q '^systemd 2 brig$'
        tar -C /bundle/rootfs -c . | docker import - box > /dev/null
        docker run -d --name two --network none --memory 64m --pids-limit 50 box /bin/sleep 1000
        scope=$(scopes)
        case $scope in docker-*.scope) ;; *) echo "Docker's scope is $scope"; false;; esac
        has $scope MemoryMax 67108864
        has $scope Slice system.slice
        docker exec two /bin/cat /proc/self/attr/current | grep -q '^docker-default (enforce)'
        docker update --memory 96m --memory-swap 96m --pids-limit 60 two
        systemctl daemon-reload
        is /sys/fs/cgroup$(group $scope)/memory.max 100663296
        is /sys/fs/cgroup$(group $scope)/pids.max 60
        docker stats --no-stream --format '{{.PIDs}}' two | grep -qx 1
        docker pause two
        docker unpause two
        docker checkpoint create two saved
        test $(docker inspect -f '{{.State.Running}}' two) = false
        none
        docker start --checkpoint saved two
        test $(docker inspect -f '{{.State.Running}}' two) = true
        docker exec two /bin/true
        docker run --rm --network none box /bin/true
        not docker run --rm --network none box /bin/sh -c 'exit 7'
        docker rm -f two
        none
    "#;
    boot_system(&debian_with_engines(), |_| {}, script);
}
