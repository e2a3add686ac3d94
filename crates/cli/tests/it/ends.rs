//! How a daemon ends, alone or with its containers, and how everything is removed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::Brig;

use crate::BRIG;

/// Longer than a shutdown takes on a busy machine, shorter than the patience that a daemon has with
/// calls that do not end.
const QUICK: Duration = Duration::from_secs(8);

/// Asks for something of the API.
fn ask(brig: &Brig, method: &str, path: &str) -> BufReader<UnixStream> {
    let mut socket = UnixStream::connect(brig.socket()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let lines = ["Host: brig", "Content-Length: 0", "", ""].join("\r\n");
    write!(socket, "{method} {path} HTTP/1.1\r\n{lines}").unwrap();
    BufReader::new(socket)
}

/// Opens a stream of the API and reads its head.
fn open(brig: &Brig, method: &str, path: &str) -> BufReader<UnixStream> {
    let mut reader = ask(brig, method, path);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{path}: {line}");
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    reader
}

#[test]
fn open_streams_do_not_hold_a_shutdown() {
    let brig = Brig::new(BRIG);
    // A registry that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    brig.mirror_docker_io(&silent.local_addr().unwrap().to_string());
    brig.load_busybox();
    let id = brig.ok(&["run", "-d", "busybox", "sleep", "600"]);
    let pull = ask(&brig, "POST", "/images/create?fromImage=slow&tag=latest");
    let _pulling = silent.accept().unwrap();
    let streams = [
        pull,
        open(&brig, "GET", "/events"),
        open(&brig, "GET", &format!("/containers/{id}/logs?follow=1&stdout=1&stderr=1")),
        open(&brig, "GET", &format!("/containers/{id}/stats")),
        open(&brig, "POST", &format!("/containers/{id}/wait")),
    ];
    let begun = Instant::now();
    drop(brig.ok(&["system", "shutdown"]));
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    for mut stream in streams {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Status}}", &id]), "running");
}

#[test]
fn whoever_waits_sees_the_end_of_a_container_that_is_stopped_too() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = brig.command(&["run", "--rm", "busybox", "sh", "-c", script]);
    let mut run = run.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let always = brig.ok(&["run", "-d", "--restart", "unless-stopped", "busybox", "sleep", "600"]);
    drop(brig.ok(&["system", "shutdown", "--all"]));
    assert_eq!(run.wait().unwrap().code(), Some(3));
    assert_eq!(brig.ok(&["ps", "-aq", "--no-trunc"]), always, "it comes back with the next daemon");
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Running}}", &always]), "true");
}

#[test]
fn a_reset_leaves_nothing() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&["run", "-d", "-v", "named:/a", "-v", "/b", "busybox", "sleep", "600"]));
    drop(brig.ok(&["create", "--restart", "always", "busybox", "true"]));
    let told = brig.ok(&["system", "reset", "-f"]);
    assert_eq!(told, "Removed 2 containers, 1 images, 1 volumes");
    for list in [&["ps", "-aq"][..], &["images", "-q"], &["volume", "ls", "-q"]] {
        assert_eq!(brig.ok(list), "", "{list:?}");
    }
    brig.load_busybox();
    assert_eq!(brig.ok(&["run", "--rm", "busybox", "echo", "again"]), "again");
}
