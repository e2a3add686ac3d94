//! The words of the OCI command line, held against those of Debian's runc.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use testkit::process::run as run_command;

use crate::oci_activation::service;
use crate::oci_face::{Bundle, LIMIT, text};

/// Commands of runc that somebody may use.
const COMMANDS: [&str; 16] = [
    "create",
    "start",
    "run",
    "exec",
    "kill",
    "delete",
    "state",
    "list",
    "ps",
    "pause",
    "resume",
    "update",
    "events",
    "spec",
    "checkpoint",
    "restore",
];

/// What later ones than Debian's have: command, flag, whether a value follows.
const LATER: [(&str, &str, bool); 6] = [
    ("create", "pidfd-socket", true),
    ("run", "pidfd-socket", true),
    ("exec", "pidfd-socket", true),
    ("exec", "ignore-paused", false),
    ("update", "cpu-idle", true),
    ("update", "cpu-burst", true),
];

/// Flags of a command as runc's help shows them: `   --name value, -n value  what it does`.
fn flags_of_runc(bundle: &Bundle, command: &str) -> Vec<(String, bool)> {
    let help = bundle.runc(&[command, "--help"]);
    let lines = text(&help.stdout).lines().filter_map(|line| line.strip_prefix("   -"));
    let mut flags = Vec::new();
    for line in lines {
        let names = format!("-{line}");
        let names = names.split("  ").next().unwrap();
        for name in names.split(", ") {
            let (name, takes_value) = match name.split_once(' ') {
                Some((name, _)) => (name, true),
                None => (name, false),
            };
            flags.push((name.to_owned(), takes_value));
        }
    }
    flags
}

#[test]
fn every_flag_of_runc_is_known() {
    let bundle = Bundle::new(&["/bin/true"]);
    let mut seen = 0;
    for command in COMMANDS {
        let later = LATER.iter().filter(|(of, ..)| *of == command);
        let later = later.map(|(_, name, takes_value)| (format!("--{name}"), *takes_value));
        for (flag, takes_value) in flags_of_runc(&bundle, command).into_iter().chain(later) {
            seen += 1;
            // A word that is not there yet tells whether one is wanted; nothing else happens.
            let found = bundle.brig(&[command, &flag]);
            let said = text(&found.stderr);
            assert!(!said.contains("not defined"), "{command} {flag}: {said}");
            if said.contains(&format!("{command} is not supported")) || flag == "--rootless" {
                continue;
            }
            let wants = said.contains("needs an argument");
            assert_eq!(wants, takes_value, "{command} {flag}: {said}");
        }
        let unknown = bundle.brig(&[command, "--no-such-flag"]);
        assert_eq!(unknown.status.code(), Some(if command == "exec" { 255 } else { 1 }));
        assert!(bundle.brig(&[command, "--help"]).status.success(), "{command}");
    }
    assert!(seen > 60, "only {seen} flags were found in runc's help");
    assert_eq!(bundle.brig(&["no-such-command"]).status.code(), Some(3));
}

/// The last line of a log, as JSON.
fn last_line(bundle: &Bundle) -> Value {
    let log = fs::read_to_string(bundle.path().join("log")).unwrap();
    serde_json::from_str(log.lines().last().unwrap()).unwrap()
}

#[test]
fn failures_are_logged_as_runc_logs_them() {
    let bundle = Bundle::new(&["/not/there"]);
    let log = ["--log", "log", "--log-format", "json"];
    for command in [
        &["run", "one"][..],
        &["state", "none"],
        &["start", "none"],
        &["create", "--bundle", "x", "a"],
    ] {
        let words = [&log[..], command].concat();
        let (ours, theirs) = (bundle.brig(&words), last_line(&bundle));
        let ours = (ours.status.code(), theirs);
        let theirs = (bundle.runc(&words).status.code(), last_line(&bundle));
        assert_eq!(ours.0, theirs.0, "{command:?}");
        let keys =
            |line: &Value| -> Vec<String> { line.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&ours.1), keys(&theirs.1), "{command:?}");
        assert_eq!(ours.1["level"], theirs.1["level"], "{command:?}");
        let time = ours.1["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    for (words, why) in [
        (&["--log-format", "xml", "list"][..], "one of text, json"),
        (&["--log", "/no/such/directory/log", "list"], "open log /no/such/directory/log"),
        (&["--rootless", "maybe", "list"], "one of true, false, auto"),
    ] {
        let refused = bundle.brig(words);
        assert_eq!(refused.status.code(), Some(1), "{words:?}");
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn processes_are_shown_as_runc_shows_them() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    let told = |run: fn(&Bundle, &[&str]) -> std::process::Output, words: &[&str]| {
        let output = run(&bundle, &[&["ps"], words].concat());
        (output.status.success(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    let all = [
        &["one"][..],
        &["one", "-o", "pid,comm"],
        &["one", "aux"],
        // The number first: runc cannot read lines in which a name with a space comes before it.
        &["--format", "table", "one", "-e", "-o", "pid,comm"],
    ];
    // One after the other, as both have the same states; the number differs.
    let shape = |text: &str| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        text.lines().map(words).collect()
    };
    assert!(bundle.leave(&["run", "-d", "--pid-file", "pid", "one"]));
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    let ours: Vec<_> = all.iter().map(|words| told(Bundle::brig, words)).collect();
    let numbers = told(Bundle::brig, &["-f", "json", "one"]).1;
    assert_eq!(
        serde_json::from_str::<Value>(&numbers).unwrap(),
        json!([pid.parse::<i32>().unwrap()])
    );
    for (words, why) in
        [(&["one", "--no-such"][..], "see ps(1)"), (&["one", "-o", "comm"], "no column PID")]
    {
        let (succeeded, _, said) = told(Bundle::brig, words);
        assert!(!succeeded && said.contains(why), "{said}");
    }
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    let mut run = bundle.command(&["runc"], &["run", "-d", "one"]);
    run.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(run.status().unwrap().success());
    for (words, (succeeded, ours, said)) in all.iter().zip(ours) {
        assert!(succeeded, "{words:?}: {said}");
        let (ours, theirs) = (shape(&ours), shape(&told(Bundle::runc, words).1));
        assert_eq!((ours.len(), &ours[0]), (2, &theirs[0]), "{words:?}");
        assert_eq!(ours[1].len(), theirs[1].len());
        assert!(ours[1].contains(&pid) && !theirs[1].contains(&pid), "{ours:?} {theirs:?}");
    }
    assert!(bundle.runc(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}

#[test]
fn a_rootless_configuration_is_runcs() {
    let bundle = Bundle::new(&["/bin/true"]);
    let spec = |run: fn(&Bundle, &[&str]) -> std::process::Output| -> Value {
        fs::remove_file(bundle.path().join("config.json")).unwrap();
        assert!(run(&bundle, &["spec", "--rootless"]).status.success());
        serde_json::from_slice(&fs::read(bundle.path().join("config.json")).unwrap()).unwrap()
    };
    let (ours, theirs) = (spec(Bundle::brig), spec(Bundle::runc));
    let kinds = |spec: &Value| -> Vec<String> {
        let all = spec["linux"]["namespaces"].as_array().unwrap();
        let kinds = all.iter().map(|one| one["type"].as_str().unwrap().to_owned());
        // Debian's names one for control groups only where they are of version 2.
        let mut kinds: Vec<String> = kinds.filter(|kind| kind != "cgroup").collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&ours), kinds(&theirs));
    for member in ["uidMappings", "gidMappings"] {
        assert_eq!(ours["linux"][member], theirs["linux"][member]);
    }
    assert!(ours["linux"]["resources"].is_null() && theirs["linux"]["resources"].is_null());
    let sys = |spec: &Value| {
        let all = spec["mounts"].as_array().unwrap().clone();
        all.into_iter().find(|mount| mount["destination"] == "/sys").unwrap()
    };
    assert_eq!(sys(&ours), sys(&theirs));
    // And it runs.
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    assert!(bundle.brig(&["spec", "--rootless"]).status.success());
    bundle.configure(|config| {
        config["process"]["args"] = json!(["/bin/cat", "/proc/self/uid_map"]);
        config["process"]["terminal"] = json!(false);
    });
    let found = bundle.brig(&["run", "one"]);
    let map: Vec<&str> = text(&found.stdout).split_whitespace().collect();
    assert_eq!(map, ["0", "0", "1"], "{}", text(&found.stderr));
    bundle.assert_nothing_left();
}

#[test]
fn a_process_is_handed_over_by_descriptor() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    let socket = UnixListener::bind(bundle.path().join("pidfd")).unwrap();
    let received = || {
        let (connection, _) = socket.accept().unwrap();
        let (mut name, mut descriptors) = ([0; 64], Vec::new());
        linux::socket::receive_with_fds(connection.as_fd(), &mut name, &mut descriptors).unwrap();
        assert_eq!(descriptors.len(), 1);
        descriptors.remove(0)
    };
    let kill = |process: &std::os::fd::OwnedFd| {
        rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL).unwrap();
    };
    assert!(bundle.leave(&["create", "--pidfd-socket", "pidfd", "one"]));
    let first = received();
    assert!(bundle.brig(&["start", "one"]).status.success());
    assert!(bundle.leave(&["exec", "-d", "--pidfd-socket", "pidfd", "one", "sleep", "1000"]));
    let other = received();
    kill(&other);
    assert_eq!(bundle.status("one"), "running");
    kill(&first);
    testkit::process::eventually("the container has ended", LIMIT, || {
        (bundle.status("one") == "stopped").then_some(())
    });
    assert!(bundle.brig(&["delete", "one"]).status.success());
    bundle.assert_nothing_left();
}

/// The key that the test puts into a session keyring of its own.
const KEYS: &str = "import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(250, 1, 0) > 0
assert libc.syscall(248, b'user', b'brig:secret', b'x', 1, -3) > 0
os.execvp(sys.argv[1], sys.argv[1:])";

/// Whether the key can be found by way of the session keyring.
const SEARCH: &str = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(250, 10, -3, b'user', b'brig:secret', 0) > 0)";

#[test]
fn the_callers_keys_are_found_only_when_that_is_asked_for() {
    let bundle = service("");
    let search = ["/usr/bin/python3", "-c", SEARCH];
    bundle.configure(|config| config["process"]["args"] = json!(search));
    let run = |words: &[&str]| {
        let program = ["/usr/bin/python3", "-c", KEYS, crate::BRIG, "runtime"];
        let output = run_command(&mut bundle.command(&program, words), LIMIT);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(run(&["run", "one"]), "False");
    assert_eq!(run(&["run", "--no-new-keyring", "one"]), "True");
    bundle.configure(|config| config["process"]["args"] = json!(["/bin/sleep", "1000"]));
    for (flag, found) in [(&[][..], "False"), (&["--no-new-keyring"], "True")] {
        assert!(bundle.leave(&[&["run", "-d"], flag, &["one"]].concat()));
        assert_eq!(run(&[&["exec", "one"], &search[..]].concat()), found);
        assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    }
    bundle.assert_nothing_left();
}
