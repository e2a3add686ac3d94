//! Linux 6.1, the oldest kernel that is supported: no file systems from files (EROFS), no id-mapped
//! tmpfs, an older Landlock. What can be done otherwise is; the rest is told.

use std::path::Path;

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel, Machine};

use crate::BRIG;
use crate::vm_runtime::boot_with;

/// A container with everything that newer kernels do in other ways.
#[test]
fn the_oci_face() {
    let change = |config: &mut Value| {
        let linux = &mut config["linux"];
        let kinds = linux["namespaces"].as_array_mut().unwrap();
        kinds.extend([json!({"type": "user"}), json!({"type": "time"})]);
        for maps in ["uidMappings", "gidMappings"] {
            linux[maps] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        }
        linux["timeOffsets"] = json!({"boottime": {"secs": 1_000_000, "nanosecs": 0}});
        linux["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]});
        linux["resources"] = json!({"memory": {"limit": 32 << 20}, "pids": {"limit": 30},
            "cpu": {"quota": 50000, "period": 100_000, "idle": 1},
            "devices": [{"allow": false, "access": "rwm"}]});
        config["annotations"]["dev.brig.landlock"] = json!(
            r#"{"ruleset": {"handledAccessFS": ["make_sym"], "scoped": ["signal"]}, "bestEffort": true}"#
        );
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": "/volume", "type": "bind", "source": "/volume",
            "options": ["rbind", "rro", "nosuid"]}));
    };
    let script = r#"
        uname -r | grep '^6\.1\.'
        mkdir -p /volume/below
        chown -R 100000:100000 /bundle/rootfs
        leave run -d -b /bundle one
        group=/sys/fs/cgroup/test/one
        is $group/memory.max 33554432
        is $group/pids.max 30
        is $group/cpu.idle 1
        oci exec one /bin/cat /proc/self/uid_map | grep -q ' 0 *100000 *65536'
        test $(oci exec one /bin/cat /proc/uptime | cut -d. -f1) -gt 1000000
        oci exec one /bin/cat /proc/self/mountinfo | grep ' /volume ' | grep -q ro,nosuid
        oci exec one /bin/sh -c 'echo > /dev/null'
        not oci exec one /bin/sh -c 'busybox mkdir /made' 2>/error
        grep -q 'Function not implemented' /error
        not oci exec one /bin/sh -c 'busybox ln -s a /dev/shm/b' 2>/error
        # Landlock cannot be without what the kernel lacks unless that was said.
        oci pause one
        oci state one | grep -q paused
        oci resume one
        oci update --memory 48m --memory-swap 64m --pids-limit 40 one
        is $group/memory.max 50331648
        is $group/pids.max 40
        oci events --stats one | grep -q '"limit":40'
        oci ps -f json one | grep -q '^\[[0-9]'
        oci features | grep -q '"dev.brig.landlock.abi": "[1-9]"'
        oci kill one KILL
        oci delete one || oci delete -f one
        test ! -e $group
        sed -i 's/\\"bestEffort\\": true/\\"bestEffort\\": false/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep -q "signal (the kernel's Landlock has version" /error
        test ! -e $group
        test -z "$(oci list -q)"
    "#;
    boot_with(&Kernel::prepare_old(), change, Boot { script, ..Boot::default() });
}

/// The engine: images without EROFS from files, networks, volumes, limits, restarts.
#[test]
fn the_engine() {
    let script = r#"
        brig run --rm hello | grep -i hello
        brig run -d --name web -p 8080:8080 --memory 64m --pids-limit 50 -v data:/data hello serve
        until wget -q -O - http://127.0.0.1:8080/ | grep -i hello; do sleep 0.2; done
        brig exec web /hello | grep -i hello
        brig stats --no-stream --format '{{.MemUsage}}' web | grep 64MiB
        brig pause web; brig unpause web
        brig restart -t 2 web
        test "$(brig inspect -f '{{.State.Status}}' web)" = running
        brig logs web
        brig stop -t 2 web
        brig start web
        brig rm -f web
        brig volume rm data
        brig run --rm --read-only --tmpfs /tmp hello | grep -i hello
        brig system check || true
        brig system shutdown --all
    "#;
    let boot = Boot { files: vec![(Path::new(BRIG), "/bin/brig")], script, ..Boot::default() };
    drop(Machine::boot(&Kernel::prepare_old(), &boot).finish());
}
