//! The OCI face where the kernel lacks something: an older one, or one behind a sandbox that hides
//! calls from it. strace(1) hides them.

use std::fs::{self, File};
use std::process::Stdio;

use serde_json::json;

use crate::oci_face::Bundle;

/// How the runtime does without a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Without {
    /// In another way: the container runs.
    FallsBack,
    /// It says which kernel it needs.
    Refused,
}

/// Every call that is younger than Linux 4.0 and that the runtime uses, with the release it came in.
const CALLS: [(&str, &str, Without); 17] = [
    ("openat2", "5.6", Without::Refused),
    ("open_tree", "5.2", Without::Refused),
    ("move_mount", "5.2", Without::Refused),
    ("mount_setattr", "5.12", Without::Refused),
    ("fsopen", "5.2", Without::Refused),
    ("fsconfig", "5.2", Without::Refused),
    ("fsmount", "5.2", Without::Refused),
    ("clone3", "5.3", Without::Refused),
    ("close_range", "5.9", Without::Refused),
    ("pidfd_open", "5.3", Without::Refused),
    ("pidfd_send_signal", "5.1", Without::Refused),
    ("execveat", "3.19", Without::Refused),
    ("seccomp", "3.17", Without::Refused),
    ("statx", "4.11", Without::FallsBack),
    ("getrandom", "3.17", Without::FallsBack),
    ("keyctl", "CONFIG_KEYS", Without::FallsBack),
    ("madvise", "CONFIG_ADVISE_SYSCALLS", Without::FallsBack),
];

/// What came of a command that ran without a call.
#[derive(Debug)]
struct Outcome {
    /// Whether the call was made.
    asked: bool,
    success: bool,
    stderr: String,
}

/// The tracer follows the container as long as that lives, so the command is not its child, and what
/// both write goes to a file.
fn without(bundle: &Bundle, call: &str, error: &str, words: &[&str]) -> Outcome {
    let plain = bundle.command(&[crate::BRIG, "runtime"], words);
    let [trace, stderr] = ["trace", "stderr"].map(|name| bundle.path().join(name));
    let mut strace = stdx::process::command("strace");
    strace.args(["-D", "-f", "-qq", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:error={error}")]);
    strace.arg("-o").arg(&trace).arg(plain.get_program()).args(plain.get_args());
    strace.current_dir(bundle.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let status = strace.stderr(File::create(&stderr).unwrap()).status().unwrap();
    Outcome {
        asked: fs::read_to_string(&trace).unwrap().contains("(INJECTED)"),
        success: status.success(),
        stderr: fs::read_to_string(&stderr).unwrap(),
    }
}

/// A container that begins, is looked at, entered and ended; whether the call was made, and what
/// was said by those that failed.
fn life(bundle: &Bundle, call: &str, error: &str) -> (bool, Vec<String>) {
    let steps: [&[&str]; 5] = [
        &["run", "-d", "one"],
        &["exec", "one", "/bin/true"],
        &["state", "one"],
        &["kill", "one", "KILL"],
        &["delete", "--force", "one"],
    ];
    let mut asked = false;
    let mut failures = Vec::new();
    for words in steps {
        let outcome = without(bundle, call, error, words);
        asked |= outcome.asked;
        if outcome.asked && !outcome.success {
            failures.push(format!("{}: {}", words.join(" "), outcome.stderr));
            // The next step is to have something to work on.
            let _without_fault = bundle.leave(words);
        } else {
            assert!(outcome.success, "{words:?} without {call}: {}", outcome.stderr);
        }
    }
    (asked, failures)
}

#[test]
fn calls_that_the_kernel_lacks() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    bundle.configure(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
        });
    });
    for (call, since, expected) in CALLS {
        let (asked, failures) = life(&bundle, call, "ENOSYS");
        assert!(asked, "{call} is not used: strike it off the list");
        let found = if failures.is_empty() { Without::FallsBack } else { Without::Refused };
        assert_eq!(found, expected, "{call} (Linux {since}): {failures:?}");
        for said in failures {
            assert!(said.contains("needs Linux 5.15"), "without {call}: {said}");
        }
        bundle.assert_nothing_left();
    }
}

/// As a sandbox that is too strict answers: told, and nothing left.
#[test]
fn calls_that_are_forbidden() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    for (call, ..) in CALLS {
        let (_, failures) = life(&bundle, call, "EPERM");
        for said in failures {
            assert!(said.contains("not permitted"), "without {call}: {said}");
        }
        bundle.assert_nothing_left();
    }
}
