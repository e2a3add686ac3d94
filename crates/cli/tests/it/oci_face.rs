//! The OCI command line: bundles, beside runc where both can be asked the same.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::process::{eventually, run as run_command};

use crate::BRIG;

/// Far more than any of these commands takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A bundle with busybox, a directory of states, a group of its own; all gone when dropped.
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    group: String,
}

impl Bundle {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        testkit::image::busybox_root(&directory.path().join("rootfs"));
        let name = directory.path().file_name().unwrap().to_str().unwrap().trim_start_matches('.');
        let bundle = Self { group: format!("/brig-oci-{name}"), directory };
        assert!(bundle.brig(&["spec"]).status.success());
        bundle.configure(|config| {
            config["process"]["args"] = json!(arguments);
            config["process"]["terminal"] = json!(false);
        });
        bundle
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path().join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["linux"]["cgroupsPath"] = json!(self.group);
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    /// A bundle inside of this one, with the same root, in a group of its own.
    pub(crate) fn copy(&self, name: &str) {
        let copy = self.path().join(name);
        fs::create_dir(&copy).unwrap();
        let config = fs::read(self.path().join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["root"]["path"] = json!(self.path().join("rootfs"));
        config["linux"]["cgroupsPath"] = json!(format!("{}-{name}", self.group));
        fs::write(copy.join("config.json"), config.to_string()).unwrap();
    }

    pub(crate) fn command(&self, program: &[&str], words: &[&str]) -> Command {
        let mut command = stdx::process::command(program[0]);
        command.args(&program[1..]).arg("--root").arg(self.states()).args(words);
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn states(&self) -> PathBuf {
        self.path().join("states")
    }

    pub(crate) fn brig(&self, words: &[&str]) -> Output {
        run_command(&mut self.command(&[BRIG, "runtime"], words), LIMIT)
    }

    /// For what leaves a process behind, which keeps the streams it was given.
    pub(crate) fn leave(&self, words: &[&str]) -> bool {
        let mut command = self.command(&[BRIG, "runtime"], words);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    pub(crate) fn runc(&self, words: &[&str]) -> Output {
        run_command(&mut self.command(&["runc"], words), LIMIT)
    }

    pub(crate) fn status(&self, id: &str) -> String {
        let state: Value = serde_json::from_slice(&self.brig(&["state", id]).stdout).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn assert_nothing_left(&self) {
        let states: Vec<_> = fs::read_dir(self.states()).unwrap().flatten().collect();
        assert!(states.is_empty(), "{states:?}");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let own = self.group.trim_start_matches('/');
            let groups = fs::read_dir(hierarchy.path()).into_iter().flatten().flatten();
            let left = groups.map(|group| group.file_name().into_string().unwrap_or_default());
            let left: Vec<_> = left.filter(|name| name.starts_with(own)).collect();
            assert!(left.is_empty(), "{left:?} in {}", hierarchy.path().display());
        }
    }
}

impl Drop for Bundle {
    /// A test that fails leaves no container either.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for id in fs::read_dir(self.states()).into_iter().flatten().flatten() {
                let id = id.file_name().into_string().unwrap_or_default();
                drop(self.command(&[BRIG, "runtime"], &["delete", "--force", &id]).status());
            }
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn run_ends_as_runcs_does() {
    for (arguments, code, output) in [
        (&["/bin/true"][..], 0, ""),
        (&["/bin/sh", "-c", "echo out; exit 7"], 7, "out\n"),
        (&["/bin/sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
        (&["/bin/sh", "-c", "ls /sys/class/net; hostname"], 0, "lo\nbrig\n"),
    ] {
        let bundle = Bundle::new(arguments);
        for output_of in [Bundle::brig, Bundle::runc] {
            let found = output_of(&bundle, &["run", "one"]);
            assert_eq!(found.status.code(), Some(code), "{arguments:?}: {}", text(&found.stderr));
            assert_eq!(text(&found.stdout), output, "{arguments:?}");
            bundle.assert_nothing_left();
        }
    }
}

#[test]
fn a_failed_run_says_why_and_leaves_nothing() {
    let bundle = Bundle::new(&["/not/there"]);
    for words in [&["run", "one"][..], &["run", "-d", "one"], &["create", "one"]] {
        let words = [&words[..1], &["--pid-file", "pid"], &words[1..]].concat();
        let found = bundle.brig(&words);
        assert_eq!(found.status.code(), Some(1));
        assert!(text(&found.stderr).contains("/not/there"), "{}", text(&found.stderr));
        assert!(!bundle.path().join("pid").exists(), "{words:?}");
        bundle.assert_nothing_left();
    }
    bundle.configure(|config| config["linux"]["sysctl"] = json!({"net.ipv4.nonsense": "1"}));
    let found = bundle.brig(&["run", "one"]);
    assert!(text(&found.stderr).contains("nonsense"), "{}", text(&found.stderr));
    bundle.assert_nothing_left();
}

#[test]
fn the_life_of_a_container() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    assert!(bundle.leave(&["create", "--pid-file", "pid", "one"]));
    assert_eq!(bundle.status("one"), "created");
    let again = bundle.brig(&["create", "one"]);
    assert!(text(&again.stderr).contains("already"), "{}", text(&again.stderr));
    assert!(bundle.brig(&["start", "one"]).status.success());
    assert_eq!(bundle.status("one"), "running");
    let exec = bundle.brig(&["exec", "one", "/bin/sh", "-c", "readlink /proc/1/exe; exit 3"]);
    assert_eq!((exec.status.code(), text(&exec.stdout)), (Some(3), "/bin/busybox\n"));
    assert!(bundle.brig(&["pause", "one"]).status.success());
    assert_eq!(bundle.status("one"), "paused");
    assert!(bundle.brig(&["resume", "one"]).status.success());
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert!(text(&bundle.brig(&["ps", "one"]).stdout).contains(&pid));
    assert!(!bundle.brig(&["delete", "one"]).status.success(), "it runs");
    assert!(bundle.brig(&["kill", "one", "KILL"]).status.success());
    eventually("the container has ended", LIMIT, || {
        (bundle.status("one") == "stopped").then_some(())
    });
    assert!(bundle.brig(&["delete", "one"]).status.success());
    bundle.assert_nothing_left();
}

#[test]
fn a_signal_to_run_is_the_containers() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "trap 'exit 9' TERM; echo up; sleep 1000 & wait"]);
    let mut command = bundle.command(&[BRIG, "runtime"], &["run", "one"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "up\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    bundle.assert_nothing_left();
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "tty; exec sleep 1000"]);
    bundle.configure(|config| config["process"]["terminal"] = json!(true));
    let without = bundle.brig(&["run", "-d", "one"]);
    assert!(text(&without.stderr).contains("--console-socket"), "{}", text(&without.stderr));
    let socket = UnixListener::bind(bundle.path().join("console")).unwrap();
    assert!(bundle.leave(&["run", "-d", "--console-socket", "console", "one"]));
    let (connection, _) = socket.accept().unwrap();
    let mut name = [0; 64];
    let mut descriptors = Vec::new();
    let length =
        linux::socket::receive_with_fds(connection.as_fd(), &mut name, &mut descriptors).unwrap();
    assert_eq!(&name[..length], b"/dev/ptmx");
    let mut master = fs::File::from(descriptors.into_iter().next().unwrap());
    let mut screen = [0; 64];
    let length = std::io::Read::read(&mut master, &mut screen).unwrap();
    assert_eq!(text(&screen[..length]), "/dev/pts/0\r\n");
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}

/// A hook that writes down what it is told and where it is.
fn hook(kind: &str, journal: &str) -> Value {
    let script = format!(
        "state=$(cat); field() {{ echo \"$state\" | tr ',' '\\n' | grep \"\\\"$1\\\":\" | tr -d ' {{}}'; }}; \
         echo {kind} $PWD $(env | sort | tr '\\n' ' ') $(field status) $(field bundle) >> {journal}"
    );
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
}

#[test]
fn hooks_are_told_what_runc_tells_them() {
    let bundle = Bundle::new(&["/bin/true"]);
    let journal = bundle.path().join("journal");
    bundle.configure(|config| {
        let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        config["root"]["readonly"] = json!(false);
        config["hooks"] = kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), hook(kind, journal.to_str().unwrap())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        config["hooks"]["startContainer"] = hook("startContainer", "/journal");
    });
    let told = |output_of: fn(&Bundle, &[&str]) -> Output| {
        let found = output_of(&bundle, &["run", "one"]);
        assert!(found.status.success(), "{}", text(&found.stderr));
        let inside = bundle.path().join("rootfs/journal");
        let all = [&journal, &inside].map(|path| fs::read_to_string(path).unwrap());
        [journal.clone(), inside].iter().for_each(|path| fs::remove_file(path).unwrap());
        all
    };
    let (ours, mut theirs) = (told(Bundle::brig), told(Bundle::runc));
    assert_eq!(ours[0].lines().count(), 5);
    // Debian's runc calls a container `created` when its program runs; the newest does not.
    let (before, after) = theirs[0].split_once("poststart").unwrap();
    theirs[0] = format!("{before}poststart{}", after.replacen("created", "running", 1));
    assert_eq!(ours, theirs);
    bundle.assert_nothing_left();
}

#[test]
fn later_hooks_belong_to_start_and_delete() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    let failing = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo no; exit 4"]}]);
    let touching = |name: &str| {
        let path = bundle.path().join(name).display().to_string();
        json!([failing[0], {"path": "/bin/touch", "args": ["touch", path]}])
    };
    bundle.configure(|config| {
        config["hooks"] = json!({"poststart": failing, "poststop": touching("stopped")});
    });
    assert!(bundle.leave(&["create", "one"]));
    let started = bundle.brig(&["start", "one"]);
    assert!(!started.status.success());
    let why = "error running poststart hook #0: exit status 4, output: no";
    assert!(text(&started.stderr).contains(why), "{}", text(&started.stderr));
    assert_eq!(bundle.status("one"), "stopped", "what has failed to start does not run");
    assert!(!bundle.path().join("stopped").exists());
    let deleted = bundle.brig(&["delete", "one"]);
    assert!(deleted.status.success(), "a hook does not keep it: {}", text(&deleted.stderr));
    assert!(text(&deleted.stderr).contains("level=warning"), "{}", text(&deleted.stderr));
    assert!(bundle.path().join("stopped").exists(), "the next hook is run all the same");
    bundle.assert_nothing_left();
}

/// A program that answers `mkdir` of containers; ends with the test.
struct Agent(std::process::Child);

impl Agent {
    fn start(path: &Path, journal: &Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/seccomp_agent.py");
        let mut command = stdx::process::command("python3");
        command.arg(script).args([path, journal]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_listener_answers_system_calls() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "mkdir /made; ls -d /made; exec sleep 1000"]);
    let (socket, journal) = (bundle.path().join("agent"), bundle.path().join("journal"));
    bundle.configure(|config| {
        config["root"]["readonly"] = json!(false);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "listenerMetadata": "meta",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
        });
    });
    let unheard = bundle.brig(&["run", "one"]);
    assert!(text(&unheard.stderr).contains("seccomp listener"), "{}", text(&unheard.stderr));
    bundle.assert_nothing_left();

    let _agent = Agent::start(&socket, &journal);
    let made = bundle.path().join("rootfs/made");
    let told = |program: &[&str]| {
        let run = |words: &[&str]| {
            let mut command = bundle.command(program, words);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
        };
        assert!(run(&["create", "one"]).success() && run(&["start", "one"]).success());
        let exec = ["exec", "one", "/bin/sh", "-c", "mkdir /made && test ! -e /made"];
        let exec = run_command(&mut bundle.command(program, &exec), LIMIT);
        assert!(exec.status.success(), "{}", text(&exec.stderr));
        assert!(!made.exists(), "it was answered, not done");
        assert!(run(&["delete", "-f", "one"]).success());
        let told = fs::read_to_string(&journal).unwrap();
        fs::remove_file(&journal).unwrap();
        let told = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        told.collect::<Vec<_>>()
    };
    let (ours, theirs) = (told(&[BRIG, "runtime"]), told(&["runc"]));
    for told in [&ours, &theirs] {
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0]["metadata"], "meta");
        assert_eq!(told[0]["fds"], json!(["seccompFd"]));
        assert_eq!(told[0]["pid"], told[0]["state"]["pid"], "{told:?}");
        assert_ne!(told[1]["pid"], told[0]["pid"]);
    }
    // Ours comes with `start`, as the filter does; runc's with `create`.
    for (told, status) in [(&ours[0], "created"), (&theirs[0], "creating")] {
        assert_eq!(told["state"]["status"], status);
    }
    for told in [&ours[1], &theirs[1]] {
        assert_eq!(told["state"]["status"], "running");
    }
    bundle.assert_nothing_left();
}

#[test]
fn limits_are_changed_while_it_runs() {
    let bundle = Bundle::new(&["/bin/sleep", "1000"]);
    bundle.configure(|config| {
        config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        config["linux"]["resources"]["pids"] = json!({"limit": 50});
    });
    assert!(bundle.leave(&["run", "-d", "one"]));
    let limits = || {
        let stats = bundle.brig(&["events", "--stats", "one"]);
        let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
        assert_eq!((&stats["type"], &stats["id"]), (&json!("stats"), &json!("one")));
        (stats["data"]["memory"]["usage"]["limit"].clone(), stats["data"]["pids"]["limit"].clone())
    };
    assert_eq!(limits(), (json!(64 << 20), json!(50)));
    assert!(bundle.brig(&["update", "--memory", "128m", "one"]).status.success());
    assert_eq!(limits(), (json!(128 << 20), json!(50)), "what is not named stays");
    let file = bundle.path().join("resources");
    fs::write(&file, r#"{"pids":{"limit":20},"devices":[{"allow":false,"access":"rwm"}]}"#)
        .unwrap();
    assert!(bundle.brig(&["update", "-r", "resources", "one"]).status.success());
    assert_eq!(limits(), (json!(128 << 20), json!(20)));
    let null = bundle.brig(&["exec", "one", "/bin/sh", "-c", "echo > /dev/null"]);
    assert!(null.status.success(), "devices stay: {}", text(&null.stderr));
    fs::write(&file, r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#).unwrap();
    let used = bundle.brig(&["update", "-r", "resources", "one"]);
    assert!(text(&used.stderr).contains("in use"), "{}", text(&used.stderr));
    assert_eq!(limits(), (json!(128 << 20), json!(20)));
    let wrong = bundle.brig(&["update", "--cpuset-cpus", "900", "one"]);
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("cpuset.cpus"));
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}

#[test]
fn events_come_until_the_end() {
    let bundle = Bundle::new(&[
        "/bin/sh",
        "-c",
        "read line; exec dd if=/dev/zero bs=40M count=1 of=/dev/null",
    ]);
    bundle.configure(|config| {
        let resources = &mut config["linux"]["resources"];
        resources["memory"] = json!({"limit": 16 << 20, "swap": 16 << 20});
    });
    let (input, gate) = std::io::pipe().unwrap();
    let mut run = bundle.command(&[BRIG, "runtime"], &["run", "one"]);
    let mut run = run.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it runs", LIMIT, || {
        bundle.brig(&["events", "--stats", "one"]).status.success().then_some(())
    });
    let mut events = bundle.command(&[BRIG, "runtime"], &["events", "--interval", "50ms", "one"]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(events.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines)
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    for _ in 0..2 {
        assert_eq!(lines.next().unwrap()["type"], "stats");
    }
    std::io::Write::write_all(&mut &gate, b"go\n").unwrap();
    assert!(lines.any(|event| event["type"] == "oom"), "it is told");
    assert!(events.wait().unwrap().success(), "it ends with the container");
    assert_eq!(run.wait().unwrap().code(), Some(137));
    bundle.assert_nothing_left();
}

#[test]
fn features_are_those_of_runc_and_more() {
    let bundle = Bundle::new(&["/bin/true"]);
    let ours: Value = serde_json::from_slice(&bundle.brig(&["features"]).stdout).unwrap();
    let theirs: Value = serde_json::from_slice(&bundle.runc(&["features"]).stdout).unwrap();
    let words = |value: &Value| -> Vec<String> {
        let words = value.as_array().unwrap().iter();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    for place in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
    ] {
        let (ours, theirs) = (words(ours.pointer(place).unwrap()), theirs.pointer(place).unwrap());
        let missing: Vec<_> =
            words(theirs).into_iter().filter(|word| !ours.contains(word)).collect();
        assert!(missing.is_empty(), "{place} lacks {missing:?}");
    }
}

/// There is none here, or it has not all of the control groups.
#[test]
fn without_a_systemd_its_driver_is_refused() {
    let bundle = Bundle::new(&["/bin/true"]);
    bundle.configure(|config| config["linux"]["cgroupsPath"] = json!(":brig-test:refused"));
    let refused = bundle.brig(&["--systemd-cgroup", "run", "one"]);
    let said = text(&refused.stderr);
    let is_told = said.contains("without cgroup v2") || said.contains("cannot speak to systemd");
    assert!(is_told && refused.status.code() == Some(1), "{said}");
    let refused = bundle.brig(&["run", "one"]);
    assert!(text(&refused.stderr).contains("is not absolute"), "{}", text(&refused.stderr));
    bundle.assert_nothing_left();
}
