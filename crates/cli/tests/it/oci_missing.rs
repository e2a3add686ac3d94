//! The OCI face where the kernel lacks something: an older one, or one behind a sandbox that hides
//! calls from it. strace(1) hides them.

use serde_json::json;

use crate::oci_face::Bundle;
use crate::oci_faults::beside;

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
        let (status, trace, stderr) = beside(bundle, call, &format!("error={error}"), words);
        let was_asked = trace.contains("(INJECTED)");
        asked |= was_asked;
        if was_asked && !status.success() {
            failures.push(format!("{}: {stderr}", words.join(" ")));
            // The next step is to have something to work on.
            let _without_fault = bundle.leave(words);
        } else {
            assert!(status.success(), "{words:?} without {call}: {stderr}");
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
