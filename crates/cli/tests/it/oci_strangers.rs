//! What the OCI command line does to processes and files that are not the container's: nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::process::Background;

use crate::oci_face::{Bundle, text};

/// Numbers of processes come round again: a record's number may mean a stranger by now.
#[test]
fn a_number_that_means_another_process_by_now() {
    let stranger = Background::start(
        stdx::process::command("sleep").arg("1000").stdout(Stdio::null()).stderr(Stdio::null()),
    );
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    assert!(bundle.leave(&["run", "-d", "one"]));
    let record = bundle.path().join("states/one/state.json");
    let kept = fs::read(&record).unwrap();
    let mut forged: Value = serde_json::from_slice(&kept).unwrap();
    forged["state"]["pid"] = json!(stranger.id());
    fs::write(&record, forged.to_string()).unwrap();
    assert_eq!(bundle.status("one"), "stopped");
    for words in [
        &["kill", "one", "KILL"][..],
        &["exec", "one", "/bin/true"],
        &["start", "one"],
        &["checkpoint", "one"],
    ] {
        let refused = bundle.brig(words);
        assert!(!refused.status.success(), "{words:?}");
        let said = text(&refused.stderr);
        assert!(said.contains("stopped") || said.contains("not running"), "{said}");
    }
    assert!(bundle.brig(&["delete", "--force", "one"]).status.success());
    assert!(fs::metadata(format!("/proc/{}/exe", stranger.id())).is_ok(), "it lives");
    bundle.assert_nothing_left();
}

/// An id is one name in the directory of states, and what lies there is a directory.
#[test]
fn ids_lead_nowhere_else() {
    let bundle = Bundle::new(&["/bin/true"]);
    assert!(bundle.brig(&["list"]).status.success());
    let victim = tempfile::tempdir().unwrap();
    fs::write(victim.path().join("state.json"), "kept").unwrap();
    fs::create_dir_all(bundle.path().join("states")).unwrap();
    symlink(victim.path(), bundle.path().join("states/link")).unwrap();
    let outside = format!("../../../../../..{}", victim.path().display());
    for id in ["..", ".", "", "a/b", "/", "a\nb", "ä", outside.as_str(), "link"] {
        for command in ["run", "create", "start", "state", "kill", "delete", "exec", "ps", "update"]
        {
            let words = [&[command][..], if command == "delete" { &["-f", id] } else { &[id] }];
            let found = bundle.brig(&words.concat());
            let harmless = command == "delete" && found.status.success();
            assert!(harmless || !found.status.success(), "{command} {id:?}");
        }
        assert_eq!(fs::read_to_string(victim.path().join("state.json")).unwrap(), "kept", "{id:?}");
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 1, "{id:?}");
    }
}
