//! Options of `run` and `exec` as the container sees them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use testkit::Brig;

use crate::BRIG;

fn busybox() -> Brig {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    brig
}

/// What a script in a container with these options says.
fn said(brig: &Brig, options: &[&str], script: &str) -> String {
    brig.ok(&[&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat())
}

/// A field of a `status` of `/proc`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim()
}

#[test]
fn limits() {
    let brig = busybox();
    let script = "cd /sys/fs/cgroup; \
                  cat cpu/cpu.cfs_quota_us pids/pids.max memory/memory.limit_in_bytes 2>/dev/null || \
                  cat cpu.max pids.max memory.max";
    let text = said(&brig, &["--cpus", "0.5", "--pids-limit", "33", "-m", "64m"], script);
    let words: Vec<&str> = text.split_whitespace().collect();
    for wanted in ["50000", "33", "67108864"] {
        assert!(words.contains(&wanted), "{wanted}: {text}");
    }
}

#[test]
fn rights() {
    let brig = busybox();
    let status = "cat /proc/self/status";
    let plain = said(&brig, &[], status);
    assert_eq!(field(&plain, "NoNewPrivs:"), "0");
    assert_eq!(field(&plain, "CapEff:"), "00000000a80425fb");
    let locked = said(&brig, &["--security-opt", "no-new-privileges"], status);
    assert_eq!(field(&locked, "NoNewPrivs:"), "1");
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let privileged = said(&brig, &["--privileged"], status);
    assert_eq!(field(&privileged, "CapEff:"), field(&own, "CapEff:"));
    assert_eq!(field(&privileged, "Seccomp:"), "0");
    let mounts = "mkdir /m && mount -t tmpfs none /m && mount | grep -c ' /m '";
    assert_eq!(said(&brig, &["--privileged"], mounts), "1");
    assert_eq!(said(&brig, &[], "mkdir /m; mount -t tmpfs none /m 2>/dev/null || echo no"), "no");
}

#[test]
fn devices() {
    let brig = busybox();
    // One that is not among those that every container may use, and does nothing when opened.
    let script = "(: < /dev/mine) && echo read; (: > /dev/mine) 2>/dev/null || echo no";
    assert_eq!(said(&brig, &["--device", "/dev/loop-control:/dev/mine:r"], script), "read\nno");
    assert_eq!(said(&brig, &["--device", "/dev/loop-control:/dev/mine"], script), "read");
    let text = brig.fails(125, &["run", "--rm", "--device", "/dev/nowhere", "busybox", "true"]);
    assert!(text.contains("/dev/nowhere"), "{text}");
}

#[test]
fn environment_and_names() {
    let brig = busybox();
    let file = brig.root().with_extension("env");
    fs::write(&file, "# a comment\nA=of the file\nB=x=y\n\nHOME\nNOT_SET\n").unwrap();
    let file = file.display().to_string();
    let options = ["--env-file", &file, "-e", "B=by hand"];
    let text = said(&brig, &options, "echo $A, $B, $HOME, ${NOT_SET-not set}");
    let home = brig.root().parent().unwrap().display().to_string();
    assert_eq!(text, format!("of the file, by hand, {home}, not set"));
    let create = ["create", "--name", "noted", "--annotation", "a=b", "busybox", "true"];
    drop(brig.ok(&create));
    let notes = brig.ok(&["inspect", "-f", "{{index .HostConfig.Annotations \"a\"}}", "noted"]);
    assert_eq!(notes, "b");
    let options = ["--network", "host", "--dns", "10.9.8.7", "--dns-search", "."];
    let text = said(&brig, &options, "grep -v '^options' /etc/resolv.conf");
    assert_eq!(text, "nameserver 10.9.8.7");
    for (option, value) in
        [("--ip", "10.1.2.3"), ("--network-alias", "x"), ("--mac-address", "02:00:00:00:00:01")]
    {
        let words = ["run", "--rm", "--network", "none", option, value, "busybox", "true"];
        let text = brig.fails(125, &words);
        assert!(text.contains("and the network mode"), "{text}");
    }
}

/// A file system of its own, which others follow; taken away on drop.
struct Shared(PathBuf);

impl Shared {
    fn mount(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        mount("shared", directory, "tmpfs", MountFlags::empty(), None).unwrap();
        mount_change(directory, MountPropagationFlags::SHARED).unwrap();
        Self(directory.to_path_buf())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn mounts() {
    let brig = busybox();
    let directory = tempfile::tempdir().unwrap();
    let shared = Shared::mount(&directory.path().join("shared"));
    let source = shared.0.display();
    fs::create_dir(shared.0.join("below")).unwrap();
    let locked = format!("type=bind,src={source},dst=/m,readonly");
    let script = "(echo x > /m/file) 2>/dev/null || echo no";
    assert_eq!(said(&brig, &["--mount", &locked], script), "no");

    let make = "mkdir -p /v/in && echo inside > /v/in/file";
    assert_eq!(said(&brig, &["--mount", "type=volume,src=named,dst=/v"], make), "");
    let part = "type=volume,src=named,dst=/v,volume-subpath=in";
    assert_eq!(said(&brig, &["--mount", part], "cat /v/file"), "inside");

    let run = |name: &str, propagation: &str| {
        let mount = format!("type=bind,src={source},dst=/m,bind-propagation={propagation}");
        let words = ["run", "-d", "--name", name, "--mount", &mount, "busybox", "sleep", "600"];
        drop(brig.ok(&words));
    };
    run("follows", "rslave");
    run("does-not", "rprivate");
    mount("later", shared.0.join("below"), "tmpfs", MountFlags::empty(), None).unwrap();
    fs::write(shared.0.join("below/file"), "later").unwrap();
    assert_eq!(brig.ok(&["exec", "follows", "cat", "/m/below/file"]), "later");
    assert_eq!(brig.ok(&["exec", "does-not", "ls", "/m/below"]), "");
    drop(brig.ok(&["rm", "-f", "follows", "does-not"]));
}

#[test]
fn exit_codes_and_later_lives() {
    let brig = busybox();
    drop(brig.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "600"]));
    for (code, command) in [(127, "/nowhere"), (127, "nowhere"), (126, "/etc/passwd")] {
        let text = brig.fails(code, &["exec", "one", command]);
        assert!(text.contains(command) || text.is_empty(), "{text}");
    }
    drop(brig.fails(9, &["exec", "one", "sh", "-c", "exit 9"]));
    drop(brig.ok(&["create", "--name", "bad", "busybox", "/nowhere"]));
    drop(brig.fails(1, &["start", "bad"]));
    assert_eq!(brig.ok(&["wait", "bad"]), "127");
    // A restart makes another process, in which further ones run as before.
    assert_eq!(brig.ok(&["restart", "-t", "0", "one"]), "one");
    assert_eq!(brig.ok(&["exec", "one", "echo", "again"]), "again");
    drop(brig.ok(&["system", "shutdown"]));
    assert_eq!(brig.ok(&["exec", "one", "echo", "adopted"]), "adopted");
    drop(brig.ok(&["rm", "-f", "one"]));
}

#[test]
fn joining_one_that_does_not_run() {
    let brig = busybox();
    drop(brig.ok(&["create", "--name", "other", "busybox", "true"]));
    for option in ["--network", "--pid"] {
        let words = ["run", "--rm", option, "container:other", "busybox", "true"];
        let text = brig.fails(125, &words);
        assert!(text.contains("non running container"), "{text}");
    }
    let words = ["run", "--rm", "--network", "container:nobody", "busybox", "true"];
    assert!(brig.fails(125, &words).contains("No such container: nobody"));
    assert_eq!(brig.ok(&["ps", "-a", "--format", "{{.Names}}"]), "other");
}
