//! The OCI face when system calls fail, when it is killed in the middle of them, and in a crowd.
//!
//! strace(1) makes a call fail, or kills whoever makes it, at its first time, its second and so on:
//! in the command itself and in the container's process before its program.

use std::fs;
use std::process::{Output, Stdio};

use crate::oci_face::{Bundle, LIMIT, text};
use testkit::process::run;

/// One of each kind of work: processes and namespaces, control groups and files, mounts, messages,
/// rights, the program.
const CALLS: [&str; 22] = [
    "clone3",
    "clone",
    "unshare",
    "setns",
    "mkdirat",
    "mkdir",
    "openat",
    "openat2",
    "fsopen",
    "fsmount",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "mknodat",
    "symlinkat",
    "pivot_root",
    "sendmsg",
    "recvmsg",
    "socketpair",
    "capset",
    "seccomp",
    "execve",
];

/// Runs a command with a fault at the `turn`th time of a call; `None` when there was no such time.
fn with_fault(
    bundle: &Bundle,
    call: &str,
    fault: &str,
    turn: usize,
    words: &[&str],
) -> Option<Output> {
    let plain = bundle.command(&[crate::BRIG, "runtime"], words);
    let mut strace = stdx::process::command("strace");
    strace.args(["-f", "-qq", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:{fault}:when={turn}")]);
    let trace = bundle.path().join("trace");
    strace.arg("-o").arg(&trace).arg(plain.get_program()).args(plain.get_args());
    let output = run(strace.current_dir(bundle.path()).stdin(Stdio::null()), LIMIT);
    let trace = fs::read_to_string(&trace).unwrap();
    let happened = if fault.starts_with("signal") { "killed by SIGKILL" } else { "(INJECTED)" };
    trace.contains(happened).then_some(output)
}

fn bundle() -> Bundle {
    let bundle = Bundle::new(&["/bin/true"]);
    bundle.configure(|config| {
        config["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
        });
    });
    bundle
}

/// What cannot be done is told, and taken back at once.
#[test]
fn calls_that_fail() {
    let bundle = bundle();
    let mut faults = 0;
    for call in CALLS {
        for turn in [1, 2, 4, 8, 16] {
            let Some(output) = with_fault(&bundle, call, "error=ENOSPC", turn, &["run", "one"])
            else {
                break;
            };
            faults += 1;
            let said = text(&output.stderr);
            assert!(output.status.success() || !said.is_empty(), "{call} {turn}: silent");
            bundle.assert_nothing_left();
        }
    }
    assert!(faults > CALLS.len(), "only {faults} faults");
}

/// Whoever is killed, `delete --force` takes away what there is, and the id can be used again.
#[test]
fn killed_in_the_middle() {
    let bundle = bundle();
    let mut kills = 0;
    for call in CALLS {
        for turn in [1, 2, 5] {
            let killed = with_fault(&bundle, call, "signal=KILL", turn, &["run", "one"]);
            if killed.is_none() {
                break;
            }
            kills += 1;
            let deleted = bundle.brig(&["delete", "--force", "one"]);
            assert!(deleted.status.success(), "{call} {turn}: {}", text(&deleted.stderr));
            bundle.assert_nothing_left();
        }
    }
    assert!(kills > CALLS.len(), "only {kills} kills");
    assert!(bundle.brig(&["run", "one"]).status.success());
}

/// A command that ends at once never leaves its waiter waiting.
#[test]
fn two_hundred_at_once() {
    const CROWD: usize = 200;
    let bundle = Bundle::new(&["/bin/true"]);
    let names: Vec<String> = (0..CROWD).map(|number| format!("crowd-{number}")).collect();
    for name in &names {
        bundle.copy(name);
    }
    let start = |name: &String| {
        let mut command = bundle.command(&[crate::BRIG, "runtime"], &["run", "-b", name, name]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = names.iter().map(start).collect();
    for (child, name) in children.into_iter().zip(&names) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
    }
    bundle.assert_nothing_left();
}
