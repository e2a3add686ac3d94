//! A developer's afternoon: pull from a registry, run a service, look at it, stop it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use testkit::process::free_port;
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
    let mut command = brig.command(&["logs", "-f", "web"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("listening"));
    assert_eq!(lines.next().as_deref(), Some("request /"));
    drop(get("127.0.0.1", port));
    assert_eq!(lines.next().as_deref(), Some("request /"));
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    _ = child.wait().unwrap();
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
