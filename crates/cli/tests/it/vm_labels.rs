//! Labels of the security modules, enforced by kernels that have them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel};

use crate::vm_runtime::boot_with;

/// The profiles of `labels.apparmor`, compiled into a file of this directory.
pub(crate) fn profiles(directory: &Path) -> PathBuf {
    let profile = directory.join("profile");
    let mut parser = stdx::process::command("/sbin/apparmor_parser");
    // For the kernel that is booted, not for this one.
    parser.args([
        "--skip-kernel-load",
        "--skip-cache",
        "--features-file",
        "/etc/apparmor.d/abi/3.0",
    ]);
    parser.arg("--ofile").arg(&profile);
    parser.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/labels.apparmor"));
    stdx::process::output(&mut parser).unwrap();
    profile
}

/// The profile of a container says what it may do, and that of an exec too.
#[test]
fn apparmor_is_enforced() {
    let directory = tempfile::tempdir().unwrap();
    let profile = profiles(directory.path());
    let change = |config: &mut Value| config["process"]["apparmorProfile"] = json!("brig-test");
    let script = r#"
        mount -t securityfs securityfs /sys/kernel/security
        cat /profile > /sys/kernel/security/apparmor/.load
        leave run -d -b /bundle one
        oci exec one /bin/cat /proc/1/attr/apparmor/current /proc/self/attr/apparmor/current > /labels
        grep -c '^brig-test (enforce)$' /labels > /count
        is /count 2
        oci exec one /bin/sh -c 'echo written > /dev/shm/allowed'
        not oci exec one /bin/sh -c 'echo written > /dev/shm/forbidden' 2>/error
        grep 'Permission denied' /error
        # An exec may have another one.
        not oci exec --apparmor nobody one /bin/true 2>/error
        grep 'apparmor/exec' /error
        oci exec --apparmor unconfined one /bin/sh -c 'echo written > /dev/shm/forbidden'
        oci delete -f one
        # One that was not loaded is told, and nothing stays.
        sed -i 's/"apparmorProfile":"brig-test"/"apparmorProfile":"nobody"/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep 'apparmor/exec' /error
        test -z "$(oci list -q)"
        test ! -e /sys/fs/cgroup/test/one
        # The engine asks for the same.
        brig run -d --name labelled --security-opt apparmor=brig-test hello serve
        is /proc/$(brig inspect -f '{{.State.Pid}}' labelled)/attr/apparmor/current "brig-test (enforce)"
        brig run -d --name plain --security-opt apparmor=unconfined hello serve
        is /proc/$(brig inspect -f '{{.State.Pid}}' plain)/attr/apparmor/current unconfined
        not brig run --rm --security-opt apparmor=nobody hello 2>/error
        grep -i apparmor /error
        brig info | grep -i apparmor
        brig rm -f labelled plain
        brig system shutdown --all
    "#;
    boot_with(
        &Kernel::prepare(),
        change,
        Boot { script, files: vec![(&profile, "/profile")], ..Boot::default() },
    );
}

/// The policy of `labels.cil`, compiled into a file of this directory.
pub(crate) fn policy(directory: &Path) -> PathBuf {
    let policy = directory.join("policy");
    let mut compiler = stdx::process::command("secilc");
    compiler.arg("-o").arg(&policy).args(["-f", "/dev/null"]);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/labels.cil"));
    stdx::process::output(&mut compiler).unwrap();
    policy
}

/// Its processes and its file systems have the labels that the policy has rules for.
#[test]
fn selinux_is_enforced() {
    let directory = tempfile::tempdir().unwrap();
    let policy = policy(directory.path());
    let change = |config: &mut Value| {
        config["process"]["selinuxLabel"] = json!("u:r:container");
        config["linux"]["mountLabel"] = json!("u:object_r:guarded");
    };
    let script = r#"
        mount -t selinuxfs selinuxfs /sys/fs/selinux
        dd if=/policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
        echo 1 > /sys/fs/selinux/enforce
        leave run -d -b /bundle one
        oci exec one /bin/sh -c 'cat /proc/1/attr/current; echo; cat /proc/self/attr/current; echo' > /labels
        tr -d '\0' < /labels | grep -c '^u:r:container$' > /count
        is /count 2
        oci exec one /bin/cat /proc/self/mountinfo > /mounts
        grep ' /dev/shm .*context=u:object_r:guarded' /mounts
        grep ' /sys/firmware .*context=u:object_r:guarded' /mounts
        not oci exec one /bin/sh -c 'echo written > /dev/shm/file' 2>/error
        grep 'Permission denied' /error
        # An exec may have another label.
        oci exec --process-label u:r:host one /bin/sh -c 'echo written > /dev/shm/file'
        oci exec one /bin/cat /dev/shm/file | grep written
        not oci exec --process-label u:r:nobody one /bin/true 2>/error
        grep 'attr/exec' /error
        oci delete -f one
        # What is mounted may be written where its label says so.
        sed -i 's/object_r:guarded/object_r:shared/' /bundle/config.json
        leave run -d -b /bundle one
        oci exec one /bin/sh -c 'echo written > /dev/shm/file'
        oci delete -f one
        # Labels that the policy does not know are told, and nothing stays.
        sed -i 's/object_r:shared/object_r:nobody/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep 'context=u:object_r:nobody' /error
        sed -i 's/object_r:nobody/object_r:shared/; s/u:r:container/u:r:nobody/' /bundle/config.json
        not oci run -b /bundle one </dev/null 2>/error
        grep 'attr/exec' /error
        test -z "$(oci list -q)"
        test ! -e /sys/fs/cgroup/test/one
    "#;
    let append = "security=selinux selinux=1";
    boot_with(
        &Kernel::prepare(),
        change,
        Boot { script, append, files: vec![(&policy, "/policy")], ..Boot::default() },
    );
}
