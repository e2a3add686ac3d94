//! The OCI face when system calls fail, when it is killed in the middle of them, and in a crowd.
//!
//! strace(1) makes a call fail, or kills whoever makes it, at its first time, its second and so on:
//! in the command itself and in the container's process before its program.

use std::fs;
use std::process::{ExitStatus, Output, Stdio};

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

/// Besides, of those who begin and end what is there already.
const ENDING: [&str; 6] = ["connect", "write", "pidfd_send_signal", "unlink", "unlinkat", "rmdir"];

/// What a command finds, and what it leaves when it is killed.
const COMMANDS: [(&[&str], &[&str]); 5] = [
    (&[], &["create", "one"]),
    (&["create"], &["start", "one"]),
    (&["run"], &["exec", "one", "/bin/true"]),
    (&["run"], &["exec", "-d", "one", "/bin/sleep", "1000"]),
    (&["run"], &["delete", "--force", "one"]),
];

/// Kills whoever makes this call; whether anybody did.
fn killed_at(bundle: &Bundle, call: &str, turn: usize, words: &[&str]) -> bool {
    let fault = format!("signal=KILL:when={turn}");
    let (_, trace, _) = beside(bundle, call, &fault, words);
    trace.contains("killed by SIGKILL")
}

/// Runs a command with a fault each time of a call, or at one: how it ended, what was traced, what it
/// complained of. The tracer follows the container as long as that lives, so the command is not its
/// child, and what both write goes to files.
pub(crate) fn beside(
    bundle: &Bundle,
    call: &str,
    fault: &str,
    words: &[&str],
) -> (ExitStatus, String, String) {
    let plain = bundle.command(&[crate::BRIG, "runtime"], words);
    let [trace, stderr] = ["trace", "stderr"].map(|name| bundle.path().join(name));
    let mut strace = stdx::process::command("strace");
    strace.args(["-D", "-f", "-q", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:{fault}")]);
    strace.arg("-o").arg(&trace).arg(plain.get_program()).args(plain.get_args());
    strace.current_dir(bundle.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = strace.stderr(fs::File::create(&stderr).unwrap()).spawn().unwrap();
    let (number, status) = (child.id().to_string(), child.wait().unwrap());
    // The tracer writes down how it ended when everybody else knows already.
    let trace = testkit::process::eventually("the end is traced", LIMIT, || {
        let trace = fs::read_to_string(&trace).ok()?;
        let is_end = |line: &str| line.starts_with(&number) && line.contains("+++");
        trace.lines().any(is_end).then_some(trace)
    });
    (status, trace, fs::read_to_string(&stderr).unwrap())
}

/// The same in each step of a container's life; and who is killed while he adds a process to it does
/// not end it.
#[test]
fn killed_in_the_middle_of_each_command() {
    let bundle = bundle();
    bundle.configure(|config| {
        config["process"]["args"] = serde_json::json!(["/bin/sleep", "1000"]);
    });
    for (before, words) in COMMANDS {
        let mut kills = 0;
        for call in CALLS.into_iter().chain(ENDING) {
            for turn in [1, 3] {
                for command in before {
                    let detached: &[&str] = if *command == "run" { &["-d"] } else { &[] };
                    assert!(bundle.leave(&[&[*command], detached, &["one"]].concat()));
                }
                let killed = killed_at(&bundle, call, turn, words);
                kills += usize::from(killed);
                if words[0] == "exec" {
                    assert_eq!(bundle.status("one"), "running", "{words:?} {call} {turn}");
                }
                let deleted = bundle.brig(&["delete", "--force", "one"]);
                let said = text(&deleted.stderr);
                assert!(deleted.status.success(), "{words:?} {call} {turn}: {said}");
                bundle.assert_nothing_left();
                if !killed {
                    break;
                }
            }
        }
        assert!(kills > 2, "only {kills} kills of {words:?}");
    }
}

/// A group that has no room for one more process, or no memory to begin with.
#[test]
fn a_full_group_is_told() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    let limit = |name: &str, limit: u64| {
        bundle.configure(|config| {
            config["linux"]["resources"] = serde_json::json!({name: {"limit": limit}});
        });
    };
    limit("pids", 1);
    assert!(bundle.leave(&["run", "-d", "one"]));
    for _ in 0..20 {
        let refused = bundle.brig(&["exec", "one", "/bin/true"]);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(255), "{said}");
        assert!(said.contains("Resource temporarily unavailable"), "{said}");
    }
    assert_eq!(bundle.status("one"), "running");
    assert!(bundle.brig(&["update", "--pids-limit", "10", "one"]).status.success());
    assert!(bundle.brig(&["exec", "one", "/bin/true"]).status.success());
    assert!(bundle.brig(&["delete", "--force", "one"]).status.success());
    for bytes in [4096, 65536, 131_072] {
        limit("memory", bytes);
        let refused = bundle.brig(&["run", "one"]);
        let said = text(&refused.stderr);
        // Whether it came to its program, which the kernel then has killed, or not.
        let is_told = refused.status.code() == Some(137) || !said.is_empty();
        assert!(!refused.status.success() && is_told, "{bytes}: {said}");
        bundle.assert_nothing_left();
    }
}

/// A first process that heeds no signal and no child of its.
#[test]
fn a_first_process_that_heeds_nothing() {
    let bundle = Bundle::new(&[
        "/bin/sh",
        "-c",
        "trap '' TERM INT HUP; for i in 1 2 3 4 5; do sleep 0 & done; echo > /ready; \
         exec sleep 1000",
    ]);
    bundle.configure(|config| config["root"]["readonly"] = serde_json::json!(false));
    assert!(bundle.leave(&["run", "-d", "one"]));
    testkit::process::eventually("it is ready", LIMIT, || {
        bundle.path().join("rootfs/ready").exists().then_some(())
    });
    for signal in ["TERM", "INT", "HUP"] {
        assert!(bundle.brig(&["kill", "one", signal]).status.success());
    }
    assert_eq!(bundle.status("one"), "running");
    let refused = bundle.brig(&["delete", "one"]);
    assert!(text(&refused.stderr).contains("not stopped"), "{}", text(&refused.stderr));
    assert!(bundle.brig(&["exec", "one", "/bin/true"]).status.success());
    assert!(bundle.brig(&["kill", "one", "KILL"]).status.success());
    testkit::process::eventually("it has ended", LIMIT, || {
        (bundle.status("one") == "stopped").then_some(())
    });
    assert!(bundle.brig(&["delete", "one"]).status.success());
    bundle.assert_nothing_left();
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
