//! The first command anybody runs: nothing installed, no network, no daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Brig;
use testkit::process::{eventually, free_port};

use crate::BRIG;
use crate::streams::{on_terminal, read_until};

/// Far more than an interrupted program takes to end.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn hello_works_from_nothing() {
    let brig = Brig::new(BRIG);
    let text = brig.ok(&["run", "--rm", "hello"]);
    assert!(text.to_lowercase().contains("hello"), "{text}");
    assert_eq!(brig.ok(&["ps", "-aq"]), "", "--rm leaves nothing");
}

#[test]
fn hello_serves_a_page() {
    let brig = Brig::new(BRIG);
    let port = free_port();
    let publish = format!("{port}:8080");
    let id = brig.ok(&["run", "-d", "-p", &publish, "hello", "serve"]);
    assert_eq!(id.len(), 64, "{id}");
    for host in ["127.0.0.1", "::1"] {
        let page = get(host, port);
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("<html"), "{page}");
    }
    assert_eq!(brig.ok(&["rm", "-f", &id]), id);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is free again");
}

/// In the foreground it ends by Ctrl-C: without a terminal the command passes the signal on, with
/// one the container's own terminal does.
#[test]
fn hello_is_interrupted() {
    let brig = Brig::new(BRIG);
    let mut child = brig
        .command(&["run", "--rm", "hello", "serve"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("serving"), "{line}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = eventually("it ends", LIMIT, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));

    let mut child = on_terminal(&brig.command(&["run", "-it", "--name", "page", "hello", "serve"]));
    let mut screen = child.stdout.take().unwrap();
    drop(read_until(&mut screen, "serving"));
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let after = read_until(&mut screen, "status ");
    assert!(child.wait().unwrap().success(), "{after}");
    let code =
        brig.ok(&["inspect", "--format", "{{.State.ExitCode}} {{.HostConfig.Init}}", "page"]);
    assert_eq!(code, "130 true");
}

#[test]
fn hello_stops_at_once() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["run", "-d", "--name", "page", "hello", "serve"]));
    drop(brig.ok(&["stop", "page"]));
    assert_eq!(brig.ok(&["inspect", "--format", "{{.State.ExitCode}}", "page"]), "143");
    // Who wants it as process 1 says so; only SIGKILL ends it then.
    drop(brig.ok(&["run", "-d", "--init=false", "--name", "first", "hello", "serve"]));
    drop(brig.ok(&["kill", "-s", "INT", "first"]));
    assert_eq!(brig.ok(&["inspect", "--format", "{{.State.Running}}", "first"]), "true");
    drop(brig.ok(&["kill", "first"]));
    drop(brig.ok(&["rm", "-f", "first"]));
}

/// One HTTP request, tried until the server inside listens.
pub(crate) fn get(host: &str, port: u16) -> String {
    eventually("the page is served", Duration::from_secs(10), || {
        let mut stream = TcpStream::connect((host, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        (!page.is_empty()).then_some(page)
    })
}
