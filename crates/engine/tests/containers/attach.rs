//! Attaching: before the start, with input, with a terminal.

use std::time::Duration;

use engine::container::{AttachRequest, LogQuery, Stdin, TerminalSize, WaitCondition};
use engine::{AttachEnd, AttachSession};
use linux::process::SingleThreaded;
use testkit::forked::Test;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::test;

pub(crate) const TESTS: &[Test] = &[
    ("attach::a_change_of_size_is_seen", a_change_of_size_is_seen),
    ("attach::clients_that_leave_leave_nothing", clients_that_leave_leave_nothing),
    ("attach::before_the_start_nothing_is_missed", before_the_start_nothing_is_missed),
    ("attach::a_terminal_has_a_size_and_detaches", a_terminal_has_a_size_and_detaches),
];

fn everything() -> AttachRequest {
    AttachRequest {
        stream: true,
        stdin: true,
        stdout: true,
        stderr: true,
        ..AttachRequest::default()
    }
}

/// Serves a session with this input; gives how it ended and all output.
pub(crate) async fn converse(session: AttachSession, input: &[u8]) -> (AttachEnd, Vec<u8>) {
    let (client, served) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(served);
    let (mut from, mut to) = tokio::io::split(client);
    let client = async {
        to.write_all(input).await.unwrap();
        to.shutdown().await.unwrap();
        let mut output = Vec::new();
        from.read_to_end(&mut output).await.unwrap();
        output
    };
    let (end, output) = tokio::join!(session.serve(reader, writer), client);
    (end.unwrap(), output)
}

fn before_the_start_nothing_is_missed(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world
            .create_with("read line; echo got $line; echo bad >&2; exit 2", |spec| {
                spec.stdin = Stdin::Open { once: true };
            })
            .await;
        let containers = world.engine().containers();
        let session = containers.attach(&id, everything()).await.unwrap();
        assert!(!session.terminal());
        containers.start(&id).await.unwrap();
        let (end, output) = converse(session, b"hello\n").await;
        assert_eq!(end, AttachEnd::Finished);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut rest = output.as_slice();
        while let Some((header, after)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            if header[0] == 1 { &mut out } else { &mut err }.extend_from_slice(&after[..length]);
            rest = &after[length..];
        }
        assert_eq!((out.as_slice(), err.as_slice()), (&b"got hello\n"[..], &b"bad\n"[..]));
        assert_eq!(world.wait(&id, WaitCondition::NotRunning).await.exit_code, 2);
    });
}

fn a_terminal_has_a_size_and_detaches(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world
            .create_with("stty size; sleep 1000; true", |spec| {
                spec.terminal = true;
                spec.stdin = Stdin::Open { once: false };
            })
            .await;
        let containers = world.engine().containers();
        containers.resize(&id, TerminalSize { height: 33, width: 99 }).await.unwrap();
        let session = containers.attach(&id, everything()).await.unwrap();
        assert!(session.terminal());
        containers.start(&id).await.unwrap();
        let (client, served) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(served);
        let (mut from, mut to) = tokio::io::split(client);
        let client = async {
            let mut seen = Vec::new();
            while !seen.ends_with(b"33 99\r\n") {
                seen.push(from.read_u8().await.unwrap());
            }
            to.write_all(b"\x10\x11").await.unwrap();
        };
        let (end, ()) = tokio::join!(session.serve(reader, writer), client);
        assert_eq!(end.unwrap(), AttachEnd::Detached);
        containers.resize(&id, TerminalSize { height: 10, width: 20 }).await.unwrap();
        assert!(containers.inspect(&id, false).await.unwrap().state.status.is_alive());
    });
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn clients_that_leave_leave_nothing(token: &SingleThreaded) {
    test(token, async |world| {
        let waiting = world.create("true").await;
        let running = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&running).await.unwrap();
        let follow = LogQuery { stdout: true, stderr: true, follow: true, ..LogQuery::default() };
        drop(containers.logs(&running, follow.clone()).await.unwrap());
        let before = descriptors();
        for _ in 0..20 {
            drop(containers.attach(&waiting, everything()).await.unwrap());
            drop(containers.logs(&running, follow.clone()).await.unwrap());
        }
        // The last one that waited for the start is noticed when the next one comes.
        while descriptors() > before + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

fn a_change_of_size_is_seen(token: &SingleThreaded) {
    test(token, async |world| {
        let script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";
        let id = world.create_with(script, |spec| spec.terminal = true).await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        while !world.logs(&id).await.contains("ready") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        containers.resize(&id, TerminalSize { height: 41, width: 103 }).await.unwrap();
        while !world.logs(&id).await.contains("41 103") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
