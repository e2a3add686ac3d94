//! Checkpoint and restore by Debian's CRIU, in kernels that it knows: cgroup v2, no iptables.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::vm::{Boot, Kernel, Machine};

use crate::BRIG;
use crate::vm_runtime::{configuration, with_libraries};

/// A root of busybox at `/bundle/rootfs`, and what all scripts use. `nothing` is what is to be left
/// of a container: no state, no group, no mount.
const PREPARE: &str = r#"
    export PATH=/usr/bin:/bin
    mkdir -p /bundle/rootfs/bin /bundle/rootfs/proc /bundle/rootfs/dev /bundle/rootfs/sys /data
    cp /bin/busybox /bundle/rootfs/bin/
    for name in sh cat sleep echo true nc ip ls; do ln -s busybox /bundle/rootfs/bin/$name; done
    cp /config.json /bundle/config.json
    cd /bundle
    cp /proc/self/mountinfo /mounts
    oci() { brig runtime --root /run/oci "$@"; }
    leave() { oci "$@" </dev/null >/dev/null 2>/said || { cat /said; false; }; }
    not() { if "$@"; then echo "it succeeded: $*"; false; fi; }
    refused() {
        reason="$1"; shift
        not oci "$@" </dev/null >/dev/null 2>/said
        grep -q "$reason" /said || { echo "not $reason:"; cat /said; false; }
        nothing
    }
    is() { test "$(cat $1)" = "$2" || { echo "$1: $(cat $1), not $2"; false; }; }
    status() { oci state one 2>/dev/null | grep '"status"' | cut -d'"' -f4; }
    pid() { oci state one | grep '"pid"' | tr -dc 0-9; }
    comes() { for i in $(seq 300); do test "$(status)" != $1 || return 0; sleep 0.1; done; echo "it is not $1"; cat /said; false; }
    has_lines() { until test $(wc -l <$1) -gt $2; do sleep 0.1; done; }
    nothing() {
        test -z "$(ls /run/oci)" && test ! -e /sys/fs/cgroup/test/one || { echo left; false; }
        cmp /mounts /proc/self/mountinfo
    }
"#;

/// Boots with a bundle whose configuration is changed, and runs the script to its end.
fn boot(kernel: &Kernel, change: impl FnOnce(&mut Value), script: &str) {
    boot_with(kernel, change, &Boot { script, ..Boot::default() });
}

fn boot_with(kernel: &Kernel, change: impl FnOnce(&mut Value), boot: &Boot<'_>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, serde_json::to_vec_pretty(&configuration(change)).unwrap()).unwrap();
    let script = format!("{PREPARE}{}", boot.script);
    let peers = peers();
    let mut files = boot.files.clone();
    files.extend([(Path::new(BRIG), "/bin/brig"), (&*path, "/config.json")]);
    files.extend(peers.iter().map(|(source, target)| (&**source, &**target)));
    drop(Machine::boot(kernel, &Boot { files, script: &script, ..*boot }).finish());
}

/// CRIU, what it runs for the contents of file systems, and somebody who takes a terminal.
fn peers() -> Vec<(PathBuf, String)> {
    let mut peers = Vec::new();
    let programs = [
        ("/usr/sbin/criu", "criu"),
        ("/bin/tar", "tar"),
        ("/bin/gzip", "gzip"),
        (PYTHON, "python3"),
    ];
    for (program, name) in programs {
        let (program, libraries) = with_libraries(program);
        peers.push((program, format!("/usr/bin/{name}")));
        let place = |library: &PathBuf| library.to_str().unwrap().to_owned();
        peers.extend(libraries.iter().map(|library| (library.clone(), place(library))));
    }
    let library = python_library();
    for module in PYTHON_MODULES {
        let path = format!("{library}/{module}.py");
        peers.push((PathBuf::from(&path), path));
    }
    peers
}

const PYTHON: &str = "/usr/bin/python3";

/// What an interpreter needs to start, without more.
const PYTHON_MODULES: [&str; 12] = [
    "abc",
    "codecs",
    "collections/__init__",
    "collections/abc",
    "encodings/__init__",
    "encodings/aliases",
    "encodings/ascii",
    "encodings/utf_8",
    "io",
    "keyword",
    "operator",
    "reprlib",
];

fn python_library() -> String {
    let mut command = stdx::process::command(PYTHON);
    command.args(["-I", "-S", "-c", "import encodings; print(encodings.__file__)"]);
    let output = String::from_utf8(stdx::process::output(&mut command).unwrap().stdout).unwrap();
    output.trim().strip_suffix("/encodings/__init__.py").unwrap().to_owned()
}

fn arguments(config: &mut Value, script: &str) {
    config["process"]["args"] = json!(["sh", "-c", script]);
}

fn may_configure_networks(config: &mut Value) {
    for set in ["bounding", "effective", "permitted"] {
        let set = config["process"]["capabilities"][set].as_array_mut().unwrap();
        set.push(json!("CAP_NET_ADMIN"));
    }
}

/// Processes with a pipe between them, an open file on a tmpfs, bind mounts, limits and a filter.
fn many_things(config: &mut Value) {
    arguments(
        config,
        "exec 3>/dev/shm/n; sleep 1000 | cat & \
         while true; do i=$((i+1)); echo $i >&3; echo $i; sleep 0.2; done",
    );
    let resources = &mut config["linux"]["resources"];
    resources["memory"] = json!({"limit": 64 << 20});
    resources["pids"] = json!({"limit": 50});
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
    });
    let bind = |destination: &str, options: &[&str]| json!({"destination": destination, "type": "bind", "source": "/data", "options": options});
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.push(bind("/data", &["rbind", "rw"]));
    mounts.push(bind("/fixed", &["bind", "ro", "nosuid", "nodev"]));
}

/// Away and back, once more, and with the memory written in steps.
const AWAY_AND_BACK: &str = r#"
    oci run -d --pid-file /pid one </dev/null 2>/said | cat >/lines &
    comes running; has_lines /lines 3
    first=$(cat /pid)
    oci checkpoint --image-path /img --work-path /work one
    nothing; not test -e /proc/$first
    test "$(ls -ld /img | cut -c1-10)" = drwx------
    test -e /work/dump.log; not test -e /img/dump.log
    last=$(tail -n 1 /lines)
    oci restore -d --image-path /img --work-path /work --pid-file /again one </dev/null 2>/said | cat >/more &
    comes running; has_lines /more 2
    test $(head -n 1 /more) = $((last + 1))
    test $(pid) = $(cat /again)
    is /sys/fs/cgroup/test/one/memory.max 67108864
    is /sys/fs/cgroup/test/one/pids.max 50
    is /proc/$(pid)/cgroup 0::/test/one
    grep -q '^Seccomp:	2' /proc/$(pid)/status
    grep -q '^NoNewPrivs:	1' /proc/$(pid)/status
    test $(oci exec one cat /dev/shm/n | head -n 1) = 1
    oci exec one sh -c 'echo x >/data/x'; is /data/x x
    not oci exec one sh -c 'echo y >/fixed/y' 2>/dev/null
    not oci exec one sh -c 'echo y >/y' 2>/dev/null
    test -z "$(oci exec one cat /proc/keys)"
    oci ps one | grep -q 'sleep 1000'
    oci events --stats one | grep -q '"memory"'
    oci pause one
    oci checkpoint --image-path /paused --leave-running one
    test $(status) = paused
    oci resume one
    oci checkpoint --image-path /left --leave-running one
    test $(status) = running
    oci checkpoint --image-path /steps/a --pre-dump one
    oci checkpoint --image-path /steps/b --pre-dump --parent-path ../a one
    test $(status) = running
    oci checkpoint --image-path /steps/c --parent-path ../b one
    nothing
    test $(readlink /steps/c/parent) = ../b
    leave restore -d --image-path /steps/c one
    oci kill one KILL; comes stopped; oci delete one; nothing
    mkdir /elsewhere; cp -a /steps/c /elsewhere/c; rm /elsewhere/c/parent; ln -s ../../steps/b /elsewhere/c/parent
    refused 'does not lie beside it' restore -d --image-path /elsewhere/c one
    refused 'too old\|no program /none' --criu /none restore -d --image-path /img one
"#;

#[test]
fn processes_go_on_where_they_were() {
    boot(&Kernel::prepare(), many_things, AWAY_AND_BACK);
}

#[test]
fn and_so_they_do_in_an_older_kernel() {
    boot(&Kernel::prepare_old(), many_things, AWAY_AND_BACK);
}

#[test]
fn connections_and_what_is_left_after_a_failure() {
    let change = |config: &mut Value| {
        arguments(
            config,
            "ip link set lo up; sleep 1000 | nc -l -p 99 >/dev/shm/n & sleep 1; \
             while true; do i=$((i+1)); echo $i; sleep 0.2; done | nc 127.0.0.1 99",
        );
        may_configure_networks(config);
    };
    let script = r#"
        lines() { oci exec one cat /dev/shm/n | wc -l; }
        leave run -d one
        until test $(lines) -gt 2; do sleep 0.2; done
        not oci checkpoint --image-path /img one 2>/why
        grep -q 'consider using --tcp-established' /why; grep -q 'log file: /img/dump.log' /why
        test $(status) = running; is /sys/fs/cgroup/test/one/cgroup.freeze 0
        lines=$(lines); until test $(lines) -gt $lines; do sleep 0.2; done
        oci checkpoint --image-path /img --tcp-established one
        nothing
        refused 'Connected TCP socket in image' restore -d --image-path /img one
        leave restore -d --image-path /img --tcp-established one
        lines=$(lines); test $lines -gt 2; until test $(lines) -gt $lines; do sleep 0.2; done
        oci delete -f one; nothing

        leave run -d one
        mkdir /pages
        criu page-server -D /pages --port 1234 --address 127.0.0.1 -o /server.log --daemon </dev/null >/dev/null 2>&1
        oci checkpoint --image-path /img2 --tcp-established --page-server 127.0.0.1:1234 one
        while pidof criu >/dev/null; do sleep 0.1; done
        not ls /img2/pages-* 2>/dev/null; cp /pages/*.img /img2/
        leave restore -d --image-path /img2 --tcp-established one; test $(status) = running
        oci delete -f one; nothing
    "#;
    boot(&Kernel::prepare(), change, script);
}

#[test]
fn hooks_signals_and_checkpoints_that_do_not_fit() {
    let change = |config: &mut Value| {
        arguments(config, "trap 'exit 7' USR1; while true; do sleep 0.1; done");
        let hook =
            |kind: &str| json!([{"path": "/hook", "args": ["hook", kind], "env": ["PATH=/bin"]}]);
        config["hooks"] =
            json!({"createRuntime": hook("createRuntime"), "poststop": hook("poststop")});
        config["mounts"].as_array_mut().unwrap().push(json!(
            {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}
        ));
    };
    let script = r##"
        cat >/hook <<'END'
#!/bin/sh
read state
case "$state" in *'"pid":'*|*'"pid": '*) ;; *) exit 1;; esac
test "$1" != createRuntime -o ! -e /refuse || { echo no thanks; exit 1; }
echo $1 >>/hooked
END
        chmod +x /hook
        with() { sed "$1" good.json >config.json; cmp -s good.json config.json && { echo "same: $1"; false; } || true; }
        leave run -d one
        oci checkpoint --image-path /img one
        nothing
        brig runtime --root /run/oci restore --image-path /img one </dev/null >/dev/null 2>/said & waiter=$!
        comes running
        kill -USR1 $waiter
        code=0; wait $waiter || code=$?; test $code = 7; nothing
        test "$(echo $(cat /hooked))" = "createRuntime poststop createRuntime poststop"
        touch /refuse
        refused 'error running createRuntime hook #0: exit status 1, output: no thanks' restore -d --image-path /img one
        rm /refuse

        cp config.json good.json
        with '/"CAP_KILL",*/d'
        refused 'capabilities that are not configured' restore -d --image-path /img one
        with 's#"maskedPaths": \[#"maskedPaths": ["/proc/uptime",#'
        refused '/proc/uptime: it is not masked' restore -d --image-path /img one
        with 's#"readonlyPaths": \[#"readonlyPaths": ["/scratch",#'
        refused '/scratch: it is not read-only' restore -d --image-path /img one
        with 's#"nosuid"$#"nosuid","noexec"#'
        refused 'it is not mounted noexec' restore -d --image-path /img one
        with 's#"destination": "/scratch"#"destination": "/other"#'
        refused '/other' restore -d --image-path /img one
        with 's#"linux": {#"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},#'
        refused 'no filter of system calls' restore -d --image-path /img one
        with 's#"process": {#"process": {"apparmorProfile": "other",#'
        refused 'its label is' restore -d --image-path /img one
        with 's#"type": "uts"#"type": "user"#; s#"linux": {#"linux": {"uidMappings": [{"containerID":0,"hostID":0,"size":9}],"gidMappings": [{"containerID":0,"hostID":0,"size":9}],#'
        refused 'user namespace' restore -d --image-path /img one
        cp good.json config.json

        for name in core-1. pstree inventory mountpoints; do
            cp -a /img /bad
            file=$(ls /img/$name* | head -n 1); head -c 20 $file >/bad/${file#/img/}
            refused 'CRIU failed' restore -d --image-path /bad one
            rm -r /bad
        done
        cp -a /img /bad; ln -sf /etc/passwd /bad/fs-1.img
        refused 'is not a plain file' restore -d --image-path /bad one
        chmod 777 /bad
        refused 'others could change it' restore -d --image-path /bad one
        refused 'open directory /none' restore -d --image-path /none one
        leave run -d one
        not leave restore -d --image-path /img one; test $(status) = running
        oci delete -f one; nothing
    "##;
    boot(&Kernel::prepare(), change, script);
}

#[test]
fn terminals_and_joined_namespaces() {
    let change = |config: &mut Value| {
        config["process"]["terminal"] = json!(true);
        arguments(config, "while true; do i=$((i+1)); echo $i; sleep 0.2; done");
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            if namespace["type"] == "network" {
                namespace["path"] = json!("/network");
            }
        }
    };
    let script = r#"
        cat >/take.py <<'END'
import _socket, array, posix
listener = _socket.socket(_socket.AF_UNIX)
listener.bind('/console')
listener.listen(1)
connection = _socket.socket(fileno=listener._accept()[0])
ancillary = connection.recvmsg(4096, _socket.CMSG_SPACE(4))[1]
master = array.array('i', ancillary[0][2])[0]
while True:
    try:
        posix.write(1, posix.read(master, 100))
    except OSError:
        break
END
        take() { rm -f /console; python3 -I -S /take.py >$1 2>/dev/null & until test -e /console; do sleep 0.1; done; }
        network() { unshare -n sleep 1000 & until test "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)"; do sleep 0.1; done; ln -sf /proc/$!/ns/net /network; }
        joined() { readlink $(readlink /network); }
        network; first=$(joined)
        take /first; leave run -d --console-socket /console one; has_lines /first 3
        oci checkpoint --image-path /img one
        nothing
        take /second; leave restore -d --console-socket /console --image-path /img one; has_lines /second 3
        test $(tr -d '\r' </second | head -n 1) -gt 3
        test "$(readlink /proc/$(pid)/ns/net)" = "$(joined)"
        oci delete -f one; nothing

        network; not test $(joined) = $first 2>/dev/null
        brig runtime --root /run/oci restore --image-path /img one </dev/null >/third 2>&1 & waiter=$!
        comes running; has_lines /third 3
        test "$(readlink /proc/$(pid)/ns/net)" = "$(joined)"
        oci kill one KILL; code=0; wait $waiter || code=$?; test $code = 137; nothing

        refused 'without --console-socket' restore -d --image-path /img one
        sed -i 's/"terminal": true/"terminal": false/' config.json
        refused 'process.terminal is false' restore -d --image-path /img one
    "#;
    boot(&Kernel::prepare(), change, script);
}

/// A container for each flag, whose command is put in the place of `COMMAND`.
const FLAGS: &str = r#"
    cp /bin/state /bundle/rootfs/bin/
    cp config.json template.json
    # A container that runs this, and has said so.
    begins() {
        sed "s#COMMAND#$1#" template.json >config.json
        oci run -d one </dev/null 2>&1 | cat >/says &
        until grep -q ready /says; do sleep 0.1; done
    }
    # Not without the flag, and for this reason.
    wants() {
        flag=$1; reason="$2"
        rm -rf /img
        not oci checkpoint --image-path /img one >/said 2>&1
        grep -q "$reason" /said || { cat /said /img/dump.log; false; }
        test $(status) = running
        rm -rf /img
        oci checkpoint --image-path /img $flag one >/said 2>&1 || { cat /said /img/dump.log; false; }
        nothing
    }
    returns() { leave restore -d --image-path /img "$@" one; test $(status) = running; }
    ends() { oci delete -f one; nothing; }

    begins 'exec state lock /data/lock'
    wants --file-locks 'try --file-locks'
    returns
    not grep FLOCK /proc/locks
    ends
    returns --file-locks
    grep -q "FLOCK .* $(pid) " /proc/locks
    not oci exec one state lock /data/lock 2>/said
    grep -q 'temporarily unavailable' /said
    ends

    begins 'echo kept >/data/a; ln /data/a /data/b; exec 3</data/a; rm /data/a; echo ready; sleep 1000'
    wants --link-remap 'link-remap'
    returns
    test "$(oci exec one cat /proc/1/fd/3)" = kept
    ends
    test "$(ls /data | tr '\n' ' ')" = "b lock "

    begins 'ip link set lo up; exec state listen 99'
    # Somebody whom it never accepts, and who is no more.
    oci exec one sh -c 'nc 127.0.0.1 99 </dev/null >/dev/null 2>&1 & sleep 1; kill -9 $!'
    wants --tcp-skip-in-flight 'n-flight connection'
    returns
    oci exec one cat /proc/net/tcp | grep -q ':0063 00000000:0000 0A'
    ends

    begins 'echo ready; until test -e /data/log; do sleep 0.1; done; exec state log /data/log'
    # CRIU finds sockets by network namespaces.
    nsenter -t $(pid) -n state take /data/log >/count & taker=$!
    has_lines /count 2
    wants --ext-unix-sk 'ext-unix-sk'
    before=$(wc -l </count)
    returns --ext-unix-sk
    has_lines /count $before
    kill $taker
    ends

    # The caller's own terminal: as a container always has a session of its own, it is a stream
    # of the caller's like others; but only with the flag is it given to an image.
    sed "s#COMMAND#while true; do echo here; sleep 0.2; done#" template.json >config.json
    for flag in --shell-job; do
        rm -rf /img /first /again
        state screen brig runtime --root /run/oci run one >/first & runner=$!
        comes running; has_lines /first 2
        oci checkpoint --image-path /img $flag one
        wait $runner || true
        nothing
        state screen brig runtime --root /run/oci restore --image-path /img $flag one >/again & runner=$!
        comes running; has_lines /again 2
        oci kill one KILL; wait $runner || true
        nothing
    done

    # Memory that a later checkpoint has anew is no longer kept by the earlier one.
    begins 'exec state fill'
    oci checkpoint --image-path /steps/a --pre-dump one
    oci exec one /bin/true
    blocks() { du -k -c /steps/a/pages-*.img | tail -n 1 | cut -f1; }
    before=$(blocks); test $before -gt 8000
    oci checkpoint --image-path /steps/b --pre-dump --parent-path ../a one
    test $(blocks) = $before
    leave kill one USR1
    oci checkpoint --image-path /steps/c --parent-path ../a --auto-dedup one
    blocks
    test $(blocks) -lt $before
    nothing
    leave restore -d --image-path /steps/c --auto-dedup one
    ends
"#;

/// What keeps a container from being checkpointed or restored without a flag, and does not with it.
#[test]
fn each_flag_does_what_it_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("state");
    let mut compiler = stdx::process::command("cc");
    compiler.args(["-O1", "-static", "-o"]).arg(&program);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/checkpoint_state.c"));
    stdx::process::output(&mut compiler).unwrap();
    let change = |config: &mut Value| {
        arguments(config, "COMMAND");
        may_configure_networks(config);
        let bind = json!({"destination": "/data", "type": "bind", "source": "/data", "options": ["rbind", "rw"]});
        config["mounts"].as_array_mut().unwrap().push(bind);
    };
    let files = vec![(&*program, "/bin/state")];
    boot_with(&Kernel::prepare(), change, &Boot { script: FLAGS, files, ..Boot::default() });
}

/// A profile of `AppArmor`'s comes back, or the one that the caller names; no other than configured.
#[test]
fn labels_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let profiles = crate::vm_labels::profiles(directory.path());
    let change = |config: &mut Value| config["process"]["apparmorProfile"] = json!("brig-test");
    let script = r#"
        mount -t securityfs securityfs /sys/kernel/security
        cp /proc/self/mountinfo /mounts
        cat /profile > /sys/kernel/security/apparmor/.load
        has_label() { is /proc/$(pid)/attr/apparmor/current "$1 (enforce)"; }
        leave run -d one
        has_label brig-test
        oci checkpoint --image-path /img one || { cat /img/dump.log; false; }
        leave restore -d --image-path /img one || { cat /img/restore.log; false; }
        has_label brig-test
        not oci exec one sh -c 'echo x > /dev/shm/forbidden' 2>/dev/null
        oci delete -f one; nothing
        leave restore -d --image-path /img --lsm-profile apparmor:brig-other one
        has_label brig-other
        oci delete -f one; nothing
        sed -i 's/"apparmorProfile": "brig-test"/"apparmorProfile": "brig-other"/' config.json
        refused 'its label is' restore -d --image-path /img one
    "#;
    let files = vec![(&*profiles, "/profile")];
    boot_with(&Kernel::prepare(), change, &Boot { script, files, ..Boot::default() });
}

/// So does the label of what `SELinux` knows as the container's mounts, or another one instead.
#[test]
fn labels_of_mounts_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let policy = crate::vm_labels::policy(directory.path());
    let change = |config: &mut Value| config["linux"]["mountLabel"] = json!("u:object_r:shared");
    let script = r#"
        mount -t selinuxfs selinuxfs /sys/fs/selinux
        cp /proc/self/mountinfo /mounts
        dd if=/policy of=/sys/fs/selinux/load bs=1M 2>/dev/null
        echo 1 > /sys/fs/selinux/enforce
        has_label() { grep -q " /dev/shm .*context=u:object_r:$1" /proc/$(pid)/mountinfo; }
        leave run -d one
        has_label shared
        oci exec one sh -c 'echo kept >/dev/shm/file'
        oci checkpoint --image-path /img one || { cat /img/dump.log; false; }
        leave restore -d --image-path /img one || { cat /img/restore.log; false; }
        has_label shared
        is /proc/$(pid)/root/dev/shm/file kept
        oci delete -f one; nothing
        leave restore -d --image-path /img --lsm-mount-context u:object_r:guarded one || { cat /img/restore.log; false; }
        has_label guarded
        oci delete -f one; nothing
    "#;
    let files = vec![(&*policy, "/policy")];
    let boot = Boot { script, files, append: "security=selinux selinux=1", ..Boot::default() };
    boot_with(&Kernel::prepare(), change, &boot);
}
