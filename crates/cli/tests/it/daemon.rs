//! The daemon by hand and as a service.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Brig, process};

use crate::BRIG;

/// `brig daemon` tells the service manager when it serves (`sd_notify(3)`), and ends on SIGTERM.
#[test]
fn by_hand_it_says_when_it_is_ready() {
    let brig = Brig::new(BRIG);
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = brig.command(&["daemon"]);
    command.env("NOTIFY_SOCKET", &address).stdout(Stdio::null()).stderr(Stdio::null());
    let mut daemon = command.spawn().unwrap();
    let mut message = [0; 256];
    let length = socket.recv(&mut message).unwrap();
    assert!(String::from_utf8_lossy(&message[..length]).contains("READY=1"));
    assert_eq!(brig.daemon_id(), Some(daemon.id()));
    assert!(brig.ok(&["version"]).contains("Server"));
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    assert_eq!(brig.daemon_id(), None, "nothing of it is left in the run directory");
}

/// The unit that `brig daemon install` writes is one that systemd takes.
#[test]
fn the_unit_is_sound() {
    let brig = Brig::new(BRIG);
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("brig.service");
    drop(brig.ok(&["daemon", "install", "--unit", &unit.to_string_lossy()]));
    let mut verify = stdx::process::command("systemd-analyze");
    let output = process::run(verify.arg("verify").arg(&unit), Duration::from_secs(60));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("brig")).collect();
    assert!(output.status.success() && ours.is_empty(), "{complaints}");
}
