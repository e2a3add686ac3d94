//! The init face, beside any container: exit codes, signals, commands that do not exist.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Brig, process};

use crate::BRIG;

fn init(words: &[&str]) -> Command {
    let mut command = stdx::process::command(BRIG);
    command.args(["init", "--"]).args(words).stdin(Stdio::null());
    command
}

fn code(words: &[&str]) -> (Option<i32>, String) {
    let output = process::run(&mut init(words), Duration::from_secs(10));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_exit_is_the_command_s() {
    assert_eq!(code(&["true"]).0, Some(0));
    assert_eq!(code(&["sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]).0, Some(137));
    let (exit, text) = code(&["no-such-command"]);
    assert_eq!(exit, Some(127));
    assert!(text.contains("no-such-command") && text.contains("not found"), "{text}");
    let (exit, text) = code(&["/etc/passwd"]);
    assert_eq!(exit, Some(126));
    assert!(text.contains("ermission denied"), "{text}");
}

#[test]
fn signals_are_passed_on() {
    let script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.02; done";
    let mut child = init(&["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    kill_process(Pid::from_child(&child), Signal::USR1).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn inside_a_container_it_is_process_one_and_reaps() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let script = "(sleep 0.05 &) ; sleep 0.3; cat /proc/1/comm; ps -o stat,comm | grep -c '^Z'";
    let output = brig.output(&["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first != "sh" && !first.is_empty(), "process 1 is not the command: {text}");
    assert_eq!(lines.next(), Some("0"), "no zombie is left: {text}");
    drop(brig.fails(5, &["run", "--rm", "--init", "busybox", "sh", "-c", "exit 5"]));
}

/// What the init blocks in order to pass it on is not blocked in the command.
#[test]
fn the_command_has_no_signal_blocked_or_ignored() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let script =
        ["run", "--rm", "--init", "busybox", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"];
    let text = brig.ok(&script);
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000");
    let output = brig.output(&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(output.status.code(), Some(143));
}
