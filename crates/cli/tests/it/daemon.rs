//! The daemon by hand and as a service.

use std::fs;
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

/// Of commands that come at the same time and find no daemon, one starts it.
#[test]
fn first_commands_at_once_start_one_daemon() {
    let brig = Brig::new(BRIG);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(brig.ok(&["version"])));
        }
    });
    let log = fs::read_to_string(brig.root().join("data/daemon.log")).unwrap();
    assert_eq!(log.matches(" ready ").count(), 1, "{log}");
}

/// Nothing of the command that starts a daemon reaches it.
#[test]
fn on_demand_it_is_a_process_of_its_own() {
    let brig = Brig::new(BRIG);
    let command = brig.command(&["version"]);
    let mut odd = stdx::process::command("sh");
    odd.args(["-c", "umask 0777; ulimit -S -n 100; exec \"$@\"", "sh"])
        .args(["env", "--ignore-signal=TERM,HUP", "--block-signal=TERM,USR1"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    assert!(process::run(&mut odd, Duration::from_secs(60)).status.success());
    let daemon = brig.daemon_id().unwrap();
    let status = fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    let signals = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
    assert_eq!(field("Umask:"), "0022");
    // Hangup, user's, terminate.
    let odd = 1 | 1 << 9 | 1 << 14;
    assert_eq!((signals("SigBlk:") & odd, signals("SigIgn:") & odd), (0, 0), "{status}");
    assert_eq!(fs::read_link(format!("/proc/{daemon}/cwd")).unwrap().to_str(), Some("/"));
    let limits = fs::read_to_string(format!("/proc/{daemon}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_ne!(files.split_whitespace().nth(3), Some("100"), "{files}");
}

/// A daemon that is started on demand lives in the namespaces of the first process, one that is
/// started by hand stays where it is. (The first process is one of the test's own, in a process-id
/// namespace.)
#[test]
fn on_demand_it_leaves_the_namespaces_of_the_command() {
    let brig = Brig::new(BRIG);
    let command = brig.command(&[]);
    let script = "
        set -e
        brig() { \"$program\" --root \"$root\" \"$@\"; }
        unshare --net --ipc --uts \"$program\" --root \"$root\" version > /dev/null
        daemon=$(cat \"$root/run/daemon.pid\")
        for kind in net ipc uts mnt; do
            test \"$(readlink /proc/$daemon/ns/$kind)\" = \"$(readlink /proc/1/ns/$kind)\"
        done
        brig system shutdown
        echo moved";
    let mut outer = stdx::process::command("unshare");
    outer
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script])
        .env("program", command.get_program())
        .env("root", brig.root())
        .stdin(Stdio::null());
    let output = process::run(&mut outer, Duration::from_secs(60));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "moved\n");
}

#[test]
fn a_root_with_somebody_elses_files_is_left_alone() {
    let brig = Brig::new(BRIG);
    let run = brig.root().join("run");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("theirs"), "precious").unwrap();
    let text = brig.fails(1, &["ps"]);
    assert!(text.contains("is not a directory of brig's: there is `theirs` in it"), "{text}");
    let names: Vec<_> = fs::read_dir(&run).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(names, ["theirs"]);
    assert!(!brig.root().join("data").exists());
}

/// How much is logged is said by the command that starts the daemon, or by the configuration.
#[test]
fn as_much_is_logged_as_asked_for() {
    let log = |brig: &Brig, words: &[&str]| {
        drop(brig.ok(words));
        drop(brig.ok(&["system", "shutdown"]));
        fs::read_to_string(brig.root().join("data/daemon.log")).unwrap()
    };
    let brig = Brig::new(BRIG);
    let told = log(&brig, &["version"]);
    assert!(told.contains(" INFO ") && !told.contains("DEBUG"), "{told}");
    let brig = Brig::new(BRIG);
    let told = log(&brig, &["--log-level", "error", "version"]);
    assert!(!told.contains(" INFO "), "{told}");
    let brig = Brig::new(BRIG);
    fs::write(brig.config_path(), "[daemon]\ndebug = true\n").unwrap();
    let told = log(&brig, &["version"]);
    assert!(told.contains("DEBUG"), "{told}");
}
