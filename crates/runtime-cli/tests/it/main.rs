//! The executable `brig-runtime`. What its words do is tested with `brig runtime`, which is the same.

#![expect(
    clippy::unwrap_used,
    reason = "tests fail by panicking, also in functions that they share"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{StatVfsMountFlags, statvfs};
use testkit::process::{Background, eventually};

const RUNTIME: &str = env!("CARGO_BIN_EXE_brig-runtime");

fn runtime(directory: &Path) -> Command {
    let mut command = stdx::process::command(RUNTIME);
    command.arg("--root").arg(directory.join("states"));
    command
}

/// A bundle with busybox whose container runs this.
fn bundle(directory: &Path, arguments: &[&str]) {
    let root = directory.join("rootfs");
    testkit::image::busybox_root(&root);
    fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
    stdx::process::output(runtime(directory).args(["spec", "-b"]).arg(directory)).unwrap();
    let path = directory.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["process"]["args"] = arguments.into();
    config["process"]["terminal"] = false.into();
    let name = directory.file_name().unwrap().to_str().unwrap().trim_start_matches('.');
    config["linux"]["cgroupsPath"] = format!("/brig-runtime-{name}").into();
    fs::write(path, config.to_string()).unwrap();
}

#[test]
fn every_word_is_the_runtimes() {
    let directory = tempfile::tempdir().unwrap();
    let output = stdx::process::output(runtime(directory.path()).arg("--version")).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("brig-runtime version "), "{text}");
    let output = runtime(directory.path()).arg("ps").arg("nobody").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("container nobody does not exist"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

/// CVE-2019-5736: what enters containers runs from a mount that cannot be written.
#[test]
fn it_seals_itself() {
    if !rustix::process::geteuid().is_root() {
        testkit::skip("needs-root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    bundle(directory.path(), &["/bin/sleep", "1000"]);
    let mut command = runtime(directory.path());
    command.args(["run", "-b"]).arg(directory.path()).arg("one").stdin(Stdio::null());
    let running = Background::start(&mut command);
    let executable = format!("/proc/{}/exe", running.id());
    let sealed = || {
        let status = statvfs(&executable).unwrap();
        status.f_flag.contains(StatVfsMountFlags::RDONLY).then_some(())
    };
    eventually("it runs from a read-only mount", std::time::Duration::from_secs(30), sealed);
    let run = |words: &[&str]| runtime(directory.path()).args(words).output().unwrap();
    eventually("the container runs", std::time::Duration::from_secs(30), || {
        run(&["exec", "one", "/bin/true"]).status.success().then_some(())
    });
    let output = run(&["exec", "one", "/bin/sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let output = run(&["exec", "one", "/bin/nobody"]);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no such file or directory"), "{text}");
    let output = run(&["delete", "-f", "one"]);
    assert!(output.status.success(), "{output:?}");
}
