//! Following a log while it is written, rotated, compressed and removed.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use observe::log::{Entry, LogOptions, Query, Reader, Stop, Stream, Writer};

use crate::log::{compress, text};

const FOLLOW: Query =
    Query { since: None, until: None, tail: None, follow: true, stdout: true, stderr: true };

/// A reader in a thread of its own, whose entries arrive here.
struct Follower {
    entries: mpsc::Receiver<Entry>,
    stop: Stop,
    thread: thread::JoinHandle<()>,
}

impl Follower {
    fn start(path: &std::path::Path, query: Query) -> Self {
        let reader = Reader::open(path, query).unwrap();
        let stop = reader.stop();
        let (sender, entries) = mpsc::channel();
        let thread = thread::spawn(move || {
            for entry in reader {
                sender.send(entry.unwrap()).unwrap();
            }
        });
        Self { entries, stop, thread }
    }

    fn take(&self, count: usize) -> Vec<Entry> {
        let patience = Duration::from_secs(20);
        (0..count).map(|_| self.entries.recv_timeout(patience).unwrap()).collect()
    }

    fn finish(self) -> Vec<Entry> {
        self.stop.stop();
        self.thread.join().unwrap();
        self.entries.iter().collect()
    }
}

#[test]
fn new_lines_arrive_and_stopping_gives_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let follower = Follower::start(&path, FOLLOW);
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"one\ntwo\nthr");
    assert_eq!(text(&follower.take(2)), "one\ntwo\n");
    writer.write(Stream::Stdout, b"ee\n");
    assert_eq!(text(&follower.take(1)), "three\n");
    writer.write(Stream::Stderr, b"four\n");
    assert_eq!(text(&follower.finish()), "four\n");
}

#[test]
fn nothing_is_lost_over_rotations() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let options = LogOptions { max_size: 5000, max_files: 10_000, compress: true };
    let mut writer = Writer::open(&path, options).unwrap();
    writer.write(Stream::Stdout, b"before\n");
    let follower = Follower::start(&path, Query { tail: Some(0), ..FOLLOW });
    let mut expected = String::new();
    for number in 0..10_000 {
        let line = format!("line {number}\n");
        writer.write(Stream::Stdout, line.as_bytes());
        expected.push_str(&line);
        if number % 70 == 0 {
            compress(&mut writer);
        }
    }
    assert_eq!(writer.lost(), 0);
    let mut entries = follower.take(10_000);
    entries.extend(follower.finish());
    assert_eq!(text(&entries), expected);
}

#[test]
fn removal_and_time_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"one\n");
    let follower = Follower::start(&path, FOLLOW);
    follower.take(1);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    follower.thread.join().unwrap();

    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"one\n");
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = u64::try_from((since_epoch + Duration::from_millis(200)).as_nanos()).unwrap();
    let start = Instant::now();
    let follower = Follower::start(&path, Query { until: Some(until), ..FOLLOW });
    follower.take(1);
    follower.thread.join().unwrap();
    assert!(start.elapsed() >= Duration::from_millis(190));
}
