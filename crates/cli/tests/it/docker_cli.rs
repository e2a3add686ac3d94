//! The stock docker CLI against brig's socket.

use testkit::Brig;

use crate::BRIG;

fn text(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

#[test]
fn runs_looks_and_stops() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let docker = |arguments: &[&str]| text(&brig.docker(arguments));

    assert_eq!(docker(&["run", "--rm", "busybox", "echo", "hello"]), "hello");
    let failed = brig.docker(&["run", "--rm", "busybox", "sh", "-c", "echo no >&2; exit 4"]);
    assert_eq!(failed.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&failed.stderr), "no\n");

    let id = docker(&["run", "-d", "--name", "work", "-e", "A=b", "busybox", "sleep", "60"]);
    assert_eq!(docker(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(
        docker(&["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"]),
        "work busybox running"
    );
    assert_eq!(docker(&["exec", "work", "sh", "-c", "echo $A"]), "b");
    assert!(docker(&["inspect", "work"]).contains(&id));
    assert!(docker(&["top", "work"]).contains("sleep 60"));
    assert!(docker(&["stats", "--no-stream", "work"]).contains("work"));
    assert_eq!(docker(&["pause", "work"]), "work");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Paused}}", "work"]), "true");
    assert_eq!(docker(&["unpause", "work"]), "work");
    assert_eq!(docker(&["rename", "work", "done"]), "");
    assert_eq!(docker(&["stop", "-t", "0", "done"]), "done");
    assert_eq!(docker(&["start", "done"]), "done");
    assert_eq!(docker(&["restart", "-t", "0", "done"]), "done");
    assert_eq!(docker(&["kill", "done"]), "done");
    assert_eq!(docker(&["wait", "done"]), "137");
    assert_eq!(docker(&["rm", "done"]), "done");
    assert!(docker(&["images"]).contains("busybox"));
    assert!(docker(&["version"]).contains("Server:"));
    assert!(docker(&["info"]).contains("Cgroup Version"));
}

#[test]
fn logs_and_events() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let docker = |arguments: &[&str]| text(&brig.docker(arguments));
    drop(docker(&["run", "--name", "talk", "busybox", "sh", "-c", "echo one; echo two >&2"]));
    let logs = brig.docker(&["logs", "talk"]);
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "one\n");
    assert_eq!(String::from_utf8_lossy(&logs.stderr), "two\n");
    assert_eq!(docker(&["logs", "-n", "0", "talk"]), "");
    drop(docker(&["rm", "talk"]));
    let until =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
    let events = docker(&[
        "events",
        "--since",
        "0",
        "--until",
        &until.to_string(),
        "--format",
        "{{.Action}}",
    ]);
    let order: Vec<&str> = events
        .lines()
        .filter(|action| ["create", "start", "die", "destroy"].contains(action))
        .collect();
    assert_eq!(order, ["create", "start", "die", "destroy"]);
}
