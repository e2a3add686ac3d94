//! A developer's afternoon: pull from a registry, run a service, look at it, stop it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use testkit::process::{eventually, free_port};
use testkit::{Brig, Registry, image};

use crate::BRIG;
use crate::hello::get;

const APPLICATION: &str = r#"
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"served by python")
        print("request", self.path, flush=True)
    def log_message(self, *arguments): pass
print("listening", flush=True)
http.server.HTTPServer(("", 8080), Page).serve_forever()
"#;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn pull_run_look_stop() {
    let registry = Registry::start();
    registry.push(&image::python(), "library/python:3.11-slim");
    let brig = Brig::new(BRIG);
    brig.mirror_docker_io(registry.address());
    let application = tempfile::tempdir().unwrap();
    fs::write(application.path().join("app.py"), APPLICATION).unwrap();

    let pulled = brig.ok(&["pull", "python:3.11-slim"]);
    assert!(pulled.contains("docker.io/library/python:3.11-slim"), "{pulled}");
    assert!(brig.ok(&["images"]).contains("python"));

    let port = free_port();
    let (publish, bind) =
        (format!("{port}:8080"), format!("{}:/app", application.path().display()));
    let run = ["run", "-d", "-p", &publish, "--name", "web", "-v", &bind, "-w", "/app"];
    let id = brig.ok(&[&run[..], &["python:3.11-slim", "python", "app.py"]].concat());
    assert!(get("127.0.0.1", port).ends_with("served by python"));

    let table = brig.ok(&["ps"]);
    assert!(
        table.contains("web") && table.contains(&format!("0.0.0.0:{port}->8080/tcp")),
        "{table}"
    );
    assert_eq!(brig.ok(&["ps", "-q", "--no-trunc"]), id);
    follow_logs(&brig, port);
    exec_on_terminal(&brig);
    let stats = brig.ok(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"]);
    assert!(stats.starts_with("web "), "{stats}");
    assert!(brig.ok(&["top", "web"]).contains("app.py"));
    assert_eq!(brig.ok(&["port", "web", "8080"]).lines().next(), Some(&*format!("0.0.0.0:{port}")));

    assert_eq!(brig.ok(&["stop", "-t", "1", "web"]), "web");
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Status}}", "web"]), "exited");
    assert_eq!(brig.ok(&["rm", "web"]), "web");
    assert_eq!(brig.ok(&["ps", "-aq"]), "");
}

/// `logs -f` shows what was and what comes, and ends when the command is interrupted.
fn follow_logs(brig: &Brig, port: u16) {
    let mut child = interruptible(&brig.command(&["logs", "-f", "web"])).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            drop(sender.send(line.unwrap()));
        }
    });
    let next = || lines.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(), "listening");
    assert_eq!(next(), "request /");
    drop(get("127.0.0.1", port));
    assert_eq!(next(), "request /");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    eventually("logs -f ends", PATIENCE, || child.try_wait().unwrap());
    reader.join().unwrap();
}

/// The command by way of env(1), so that SIGINT ends it even when whoever runs the tests ignores
/// it: a shell has its background jobs do so, and programs inherit it.
fn interruptible(command: &Command) -> Command {
    let mut wrapped = stdx::process::command("env");
    wrapped.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.stdin(Stdio::null()).stdout(Stdio::piped());
    wrapped
}

/// `exec -it` on a real terminal (script(1) makes one): a shell that sees it and its exit status.
fn exec_on_terminal(brig: &Brig) {
    let inner = brig.command(&["exec", "-it", "web", "sh", "-c", "test -t 0 && stty size; exit 7"]);
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let line = format!("stty rows 33 cols 77; {}; echo status $?", words.join(" "));
    let mut script = stdx::process::command("script")
        .args(["-qec", &line, "/dev/null"])
        .env("HOME", brig.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().flush().unwrap();
    let mut screen = String::new();
    script.stdout.take().unwrap().read_to_string(&mut screen).unwrap();
    _ = script.wait().unwrap();
    assert!(screen.contains("33 77"), "the size of the terminal arrives: {screen}");
    assert!(screen.contains("status 7"), "{screen}");
}
