//! Short commands on a loaded machine: whoever waits is woken, however soon they end (runc #5208).

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::process::Background;

use crate::oci_face::{Bundle, text};

/// Eight processes that do nothing but take time.
fn load() -> Vec<Background> {
    let busy = || {
        let mut command = stdx::process::command("/bin/busybox");
        command.args(["sh", "-c", "while :; do :; done"]);
        Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    (0..8).map(|_| busy()).collect()
}

/// Each command has its own limit in [`Bundle::brig`], after which the test fails; this one is for
/// a machine that is slow, which is no hang.
const ALL: Duration = Duration::from_secs(240);

#[test]
fn short_commands_never_hang() {
    let bundle = Bundle::new(&["/bin/true"]);
    let _load = load();
    let begin = Instant::now();
    let mut runs = 0;
    while runs < 300 && begin.elapsed() < ALL {
        let found = bundle.brig(&["run", "one"]);
        assert_eq!(found.status.code(), Some(0), "run {runs}: {}", text(&found.stderr));
        runs += 1;
    }
    assert!(runs >= 100, "only {runs} runs in {ALL:?}");
    bundle.assert_nothing_left();
}

#[test]
fn short_commands_in_steps_never_hang() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "read line"]);
    let _load = load();
    for round in 0..40 {
        let said = |words: &[&str]| {
            let found = bundle.brig(words);
            assert_eq!(found.status.code(), Some(0), "{round} {words:?}: {}", text(&found.stderr));
        };
        let id = format!("c{round}");
        // Its input has ended before it begins.
        assert!(bundle.leave(&["create", &id]));
        said(&["start", &id]);
        said(&["delete", "--force", &id]);
    }
    bundle.configure(|config| {
        config["process"]["args"] = serde_json::json!(["/bin/sleep", "1000"]);
    });
    assert!(bundle.leave(&["run", "-d", "one"]));
    for round in 0..150 {
        let found = bundle.brig(&["exec", "one", "/bin/true"]);
        assert_eq!(found.status.code(), Some(0), "exec {round}: {}", text(&found.stderr));
    }
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}
