//! A container as a service of a manager: sockets that were opened for it (`sd_listen_fds(3)`), and
//! what it says of its state (`sd_notify(3)`), beside Debian's runc.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use serde_json::json;
use testkit::process::{eventually, run as run_command};

use crate::BRIG;
use crate::oci_face::{Bundle, LIMIT, text};

/// Starts a program as a service manager does: a socket as descriptor 3, and a file as 4.
const SUPERVISOR: &str = "import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind('')
listener.listen()
extra = os.open('extra', os.O_RDONLY | os.O_CREAT)
os.dup2(listener.fileno(), 103)
os.dup2(extra, 104)
os.closerange(3, 100)
os.dup2(103, 3)
os.dup2(104, 4)
os.closerange(5, 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='web')
os.environ.update(dict(word.split('=') for word in sys.argv[1].split()))
os.execvp(sys.argv[2], sys.argv[2:])";

/// Run by the manager, with other variables than it would set.
fn managed(bundle: &Bundle, variables: &str, program: &[&str], words: &[&str]) -> Output {
    let program = [&["/usr/bin/python3", "-c", SUPERVISOR, variables], program].concat();
    run_command(&mut bundle.command(&program, words), LIMIT)
}

const RUNTIMES: [&[&str]; 2] = [&[BRIG, "runtime"], &["runc"]];

/// Shows what it was given, and whether the number is its own.
const SHOW: &str = "test \"$LISTEN_PID\" = $$ && echo own; \
    echo \"$LISTEN_FDS $(readlink /proc/self/fd/3 | cut -c 1-6)\"; cat <&4; ls /proc/self/fd | tr '\\n' ' '";

#[test]
fn sockets_are_passed_on_with_what_follows_them() {
    let bundle = Bundle::new(&["/bin/sh", "-c", SHOW]);
    fs::write(bundle.path().join("extra"), "extra\n").unwrap();
    for program in RUNTIMES {
        let with = managed(&bundle, "", program, &["run", "--preserve-fds", "1", "one"]);
        // The last one is the directory that is listed.
        let expected = "own\n1 socket\nextra\n0 1 2 3 4 5 ";
        assert_eq!(text(&with.stdout), expected, "{program:?}: {}", text(&with.stderr));
        let without = managed(&bundle, "", program, &["run", "one"]);
        assert!(text(&without.stdout).ends_with("1 socket\n0 1 2 3 4 "), "{program:?}");
        // They were meant for another process.
        let others = managed(&bundle, "LISTEN_PID=1", program, &["run", "one"]);
        assert!(text(&others.stdout).ends_with(" \n0 1 2 3 "), "{}", text(&others.stdout));
    }
    bundle.configure(|config| config["process"]["args"][2] = json!("echo $LISTEN_FDNAMES"));
    let named = managed(&bundle, "", RUNTIMES[0], &["run", "one"]);
    assert_eq!(text(&named.stdout), "web\n");
    bundle.assert_nothing_left();
}

#[test]
fn sockets_are_passed_on_by_create_and_exec_and_without_a_pid_namespace() {
    let script = format!("{{ {SHOW}; }} > /told 2>&1; exec sleep 1000");
    let bundle = Bundle::new(&["/bin/sh", "-c", &script]);
    fs::write(bundle.path().join("extra"), "extra\n").unwrap();
    bundle.configure(|config| config["root"]["readonly"] = json!(false));
    let told = || {
        eventually("the container has told", LIMIT, || {
            let told = fs::read_to_string(bundle.path().join("rootfs/told")).ok()?;
            told.ends_with("5 ").then_some(told)
        })
    };
    let created = |program: &[&str]| {
        let words = ["create", "--preserve-fds", "1", "one"];
        let program = [&["/usr/bin/python3", "-c", SUPERVISOR, ""], program].concat();
        let mut create = bundle.command(&program, &words);
        create.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    for program in RUNTIMES {
        let run = |words: &[&str]| run_command(&mut bundle.command(program, words), LIMIT);
        assert!(created(program), "{program:?}");
        assert!(run(&["start", "one"]).status.success());
        assert_eq!(told(), "own\n1 socket\nextra\n0 1 2 3 4 5 ", "{program:?}");
        if program[0] == BRIG {
            // Its help says so, but runc does nothing of the kind.
            let exec = ["exec", "--preserve-fds", "1", "one", "/bin/sh", "-c", SHOW];
            let exec = managed(&bundle, "", program, &exec);
            assert_eq!(text(&exec.stdout), "own\n1 socket\nextra\n0 1 2 3 4 5 ");
        }
        assert!(run(&["delete", "-f", "one"]).status.success());
        fs::remove_file(bundle.path().join("rootfs/told")).unwrap();
    }
    bundle.configure(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    assert!(created(RUNTIMES[0]));
    assert!(bundle.brig(&["start", "one"]).status.success());
    assert!(told().starts_with("own\n"), "the number that it has among all");
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}

/// What the runtime opens for itself never takes the place of what the caller forgot to open.
#[test]
fn only_what_the_caller_has_opened_is_passed_on() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "echo leak >&3; echo leak >&5"]);
    let log = ["--log", "log"];
    let words = |count| [&log[..], &["run", "--preserve-fds", count, "one"]].concat();
    let refused = bundle.brig(&words("1"));
    let why = "descriptor 3 (of 1 to be passed on) is not open";
    assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    let refused = managed(&bundle, "", RUNTIMES[0], &words("2"));
    let why = "descriptor 5 (of 3 to be passed on) is not open";
    assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    let refused = managed(&bundle, "LISTEN_FDS=many", RUNTIMES[0], &words("0"));
    assert!(text(&refused.stderr).contains("LISTEN_FDS: \"many\""), "{}", text(&refused.stderr));
    let told = fs::read_to_string(bundle.path().join("log")).unwrap();
    assert!(!told.contains("leak"), "{told}");
    assert!(!bundle.path().join("states").exists(), "nothing was begun");
}

#[test]
fn systemd_activates_a_container() {
    let bundle = Bundle::new(&["/bin/sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES"]);
    let socket = bundle.path().join("activate");
    let program = ["systemd-socket-activate", "--fdname=web", "-l", socket.to_str().unwrap()];
    let program = [&program[..], &[BRIG, "runtime"]].concat();
    let mut activated = bundle.command(&program, &["run", "one"]);
    let activated = activated.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let _client = eventually("the manager listens", LIMIT, || UnixStream::connect(&socket).ok());
    let output = activated.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "1 1 web\n");
    bundle.assert_nothing_left();
}

/// A bundle whose container can run the host's systemd-notify(1).
pub(crate) fn service(script: &str) -> Bundle {
    let bundle = Bundle::new(&["/bin/sh", "-c", script]);
    for name in ["lib", "lib64"] {
        let target = format!("usr/{name}");
        drop(std::os::unix::fs::symlink(target, bundle.path().join("rootfs").join(name)));
    }
    bundle.configure(|config| {
        let usr = json!({"destination": "/usr", "source": "/usr", "options": ["rbind", "ro"]});
        config["mounts"].as_array_mut().unwrap().push(usr);
    });
    bundle
}

/// A service manager's socket, and all that is said there until somebody has waited for it to be
/// heard, or stopped.
struct Supervisor {
    address: String,
    hearing: JoinHandle<Vec<String>>,
    own: UnixDatagram,
    stop: SocketAddr,
}

impl Supervisor {
    fn listen(bundle: &Bundle, is_abstract: bool) -> Self {
        let path = bundle.path().join("manager.sock");
        drop(fs::remove_file(&path));
        let path = path.to_str().unwrap();
        let (address, name) = if is_abstract {
            (SocketAddr::from_abstract_name(path).unwrap(), format!("@{path}"))
        } else {
            (SocketAddr::from_pathname(path).unwrap(), path.to_owned())
        };
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let hearing = std::thread::spawn(move || {
            let mut heard = Vec::new();
            let mut message = [0; 8192];
            loop {
                let length = socket.recv(&mut message).unwrap();
                let message = text(&message[..length]);
                if message == "stop" {
                    return heard;
                }
                heard.extend(message.lines().map(str::to_owned));
            }
        });
        Self { address: name, hearing, own: UnixDatagram::unbound().unwrap(), stop: address }
    }

    /// A command that is told of it.
    fn of(&self, command: &mut Command) -> Output {
        run_command(command.env("NOTIFY_SOCKET", &self.address), LIMIT)
    }

    /// For what leaves a process behind.
    fn leave(&self, mut command: Command) -> bool {
        command.env("NOTIFY_SOCKET", &self.address).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        eventually("the command has ended", LIMIT, || child.try_wait().unwrap()).success()
    }

    /// Everything that was said.
    fn heard(self) -> Vec<String> {
        self.own.send_to_addr(b"stop", &self.stop).unwrap();
        self.hearing.join().unwrap()
    }
}

const READY: &str = "systemd-notify --ready --status=up; exec sleep 1000";

/// That it is ready, and which process is to be watched.
fn essence(heard: &[String]) -> Vec<&String> {
    let is_essence = |line: &&String| line.starts_with("READY") || line.starts_with("MAINPID");
    heard.iter().filter(is_essence).collect()
}

#[test]
fn a_container_that_is_ready_is_told_to_the_manager() {
    let bundle = service(READY);
    for is_abstract in [false, true] {
        for (program, way) in [(0, "run"), (1, "run"), (0, "create"), (1, "create")] {
            let manager = Supervisor::listen(&bundle, is_abstract);
            let command = |words: &[&str]| bundle.command(RUNTIMES[program], words);
            if way == "run" {
                assert!(manager.leave(command(&["run", "-d", "--pid-file", "pid", "one"])));
            } else {
                assert!(manager.leave(command(&["create", "--pid-file", "pid", "one"])));
                let started = manager.of(&mut command(&["start", "one"]));
                assert!(started.status.success(), "{}", text(&started.stderr));
            }
            let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
            let heard = manager.heard();
            assert_eq!(essence(&heard), ["READY=1", &format!("MAINPID={pid}")], "{program} {way}");
            if program == 0 {
                assert_eq!(heard[..2], ["READY=1", "STATUS=up"], "{heard:?}");
                assert_eq!(heard.last().unwrap(), "BARRIER=1", "{heard:?}");
            }
            assert!(run_command(&mut command(&["delete", "-f", "one"]), LIMIT).status.success());
            bundle.assert_nothing_left();
        }
    }
}

/// In the foreground the manager watches this program, which ends with the container.
#[test]
fn all_that_a_container_in_the_foreground_says_is_passed_on() {
    let bundle = service(
        "systemd-notify --ready; systemd-notify STATUS=working WATCHDOG=1; \
         systemd-notify STOPPING=1; exit 5",
    );
    let manager = Supervisor::listen(&bundle, false);
    let mut command = bundle.command(RUNTIMES[0], &["run", "one"]);
    command.env("NOTIFY_SOCKET", &manager.address);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let own = child.id();
    let status = eventually("it has ended", LIMIT, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(5));
    let main = format!("MAINPID={own}");
    let expected = ["READY=1", &main, "STATUS=working", "WATCHDOG=1", "STOPPING=1"];
    assert_eq!(manager.heard(), expected);
    bundle.assert_nothing_left();
}

#[test]
fn a_container_that_ends_before_it_is_ready_keeps_nobody_waiting() {
    let bundle = service("exit 3");
    for program in RUNTIMES {
        let manager = Supervisor::listen(&bundle, false);
        let command = |words: &[&str]| bundle.command(program, words);
        // runc itself waits for ever then: its child is there until it is reaped.
        if program[0] == BRIG {
            assert!(manager.leave(command(&["run", "-d", "one"])));
            assert!(run_command(&mut command(&["delete", "one"]), LIMIT).status.success());
        }
        assert!(manager.leave(command(&["create", "one"])));
        manager.of(&mut command(&["start", "one"]));
        assert!(run_command(&mut command(&["delete", "-f", "one"]), LIMIT).status.success());
        assert_eq!(manager.heard(), [""; 0], "{program:?}");
    }
    bundle.assert_nothing_left();
}

/// Neither its own idea of the main process, nor descriptors, nor what is too long or not text.
#[test]
fn what_a_hostile_container_says_is_not_passed_on() {
    let bundle = service(
        "systemd-notify MAINPID=1 FDSTORE=1 NOTIFYACCESS=all; \
         systemd-notify READY=2 \"STATUS=$(printf '%5000s' x)\"; \
         systemd-notify \"STATUS=$(printf 'a\\033[2J')\" WATCHDOG_USEC=1; \
         for i in $(seq 40); do systemd-notify X=$i; done; \
         touch /run/notify/x 2> /dev/null || systemd-notify READY=1; exec sleep 1000",
    );
    let manager = Supervisor::listen(&bundle, false);
    assert!(manager.leave(bundle.command(RUNTIMES[0], &["run", "-d", "--pid-file", "pid", "one"])));
    let pid = fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(manager.heard(), ["READY=1", &format!("MAINPID={pid}"), "BARRIER=1"]);
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}

#[test]
fn a_manager_that_is_not_there_is_told_of_and_nothing_more() {
    let bundle = service("exec sleep 1000");
    for address in ["/no/such/socket", "@brig-no-such-socket", "vsock:2:1"] {
        let mut command = bundle.command(RUNTIMES[0], &["--log", "log", "run", "-d", "one"]);
        command.env("NOTIFY_SOCKET", address).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "{address}");
        let log = fs::read_to_string(bundle.path().join("log")).unwrap();
        let line = log.lines().last().unwrap();
        assert!(line.contains("level=warning") && line.contains(address), "{line}");
        assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    }
    // One that has no way to say so is not started.
    assert!(bundle.leave(&["create", "one"]));
    let manager = Supervisor::listen(&bundle, false);
    let refused = manager.of(&mut bundle.command(RUNTIMES[0], &["start", "one"]));
    assert!(text(&refused.stderr).contains("was created without NOTIFY_SOCKET"));
    assert_eq!(bundle.status("one"), "created");
    assert!(manager.heard().is_empty());
    assert!(bundle.brig(&["delete", "-f", "one"]).status.success());
    bundle.assert_nothing_left();
}
