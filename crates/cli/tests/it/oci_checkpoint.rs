//! What `checkpoint` and `restore` refuse on any machine, with a reason and without a trace; what they
//! do is seen in a virtual machine (`vm_checkpoint.rs`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use crate::BRIG;
use crate::oci_face::Bundle;

/// Never what it is asked for; it ends without a word.
const NO_CRIU: &str = "/bin/true";

impl Bundle {
    fn refuses(&self, words: &[&str], reason: &str) {
        let output = self.brig(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
    }

    fn begins(&self, words: &[&str]) {
        let mut command = self.command(&[BRIG, "runtime"], words);
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    }

    fn status_of(&self, id: &str) -> String {
        let state = self.brig(&["state", id]).stdout;
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_container_that_cannot_be_checkpointed_runs_on() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    bundle.begins(&["create", "one"]);
    bundle.refuses(&["checkpoint", "one"], "cannot checkpoint a container that is created");
    bundle.begins(&["start", "one"]);
    let none = ["--criu", "/nonexistent/criu", "checkpoint", "one"];
    bundle.refuses(&none, "install the package criu");
    bundle.refuses(&["--criu", "/bin", "checkpoint", "one"], "CRIU failed: run /bin");
    bundle.refuses(&["--criu", NO_CRIU, "checkpoint", "one"], "it ended without an answer");
    for (words, reason) in [
        (&["--lazy-pages"][..], "--lazy-pages is not supported"),
        (&["--status-fd", "5"], "--status-fd is not supported"),
        (&["--page-server", "nowhere"], "is not ADDRESS:PORT"),
        (&["--manage-cgroups-mode", "some"], "is none of soft, full, strict, ignore"),
        (&["--empty-ns", "ipc"], "is not supported"),
        (&["--unknown"], "flag provided but not defined"),
    ] {
        let words = [&["checkpoint"][..], words, &["one"]].concat();
        let words = [&["--criu", NO_CRIU][..], &words].concat();
        bundle.refuses(&words, reason);
    }
    assert_eq!(bundle.status_of("one"), "running");
    assert!(!bundle.path().join("checkpoint").exists(), "nothing was written");
    bundle.begins(&["delete", "--force", "one"]);
}

#[test]
fn a_hostile_image_is_not_given_to_criu() {
    let bundle = Bundle::new(&["/bin/true"]);
    let image = bundle.path().join("image");
    fs::create_dir(&image).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o700)).unwrap();
    let restore = ["--criu", NO_CRIU, "restore", "--image-path", "image", "two"];
    let with = |name: &str, text: &str| fs::write(image.join(name), text).unwrap();
    bundle.refuses(&restore, "open descriptors.json");
    with("descriptors.json", "{}");
    bundle.refuses(&restore, "descriptors.json");
    with("descriptors.json", "[]");
    bundle.refuses(&restore, "it ended without an answer");
    let secret = bundle.path().join("secret");
    fs::write(&secret, "kept").unwrap();
    symlink(&secret, image.join("restore.log")).unwrap();
    bundle.refuses(&restore, "is not a plain file");
    fs::remove_file(image.join("restore.log")).unwrap();
    symlink("/etc", image.join("parent")).unwrap();
    bundle.refuses(&restore, "does not lie beside it");
    fs::remove_file(image.join("parent")).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o722)).unwrap();
    bundle.refuses(&restore, "others could change it");
    bundle.refuses(&["restore", "--no-pivot", "two"], "--no-pivot is not supported");
    bundle.refuses(&["restore", "--image-path", "none", "two"], "open directory");
    assert_eq!(fs::read(&secret).unwrap(), b"kept");
    assert!(bundle.brig(&["list", "--quiet"]).stdout.is_empty(), "nothing is left");
}
