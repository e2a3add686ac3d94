//! Writing and reading back.

use std::path::Path;

use observe::log::{Entry, LogOptions, Query, Reader, Stream, Writer};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

pub(crate) fn read(path: &Path, query: Query) -> Vec<Entry> {
    Reader::open(path, query).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn text(entries: &[Entry]) -> String {
    let bytes = entries.iter().flat_map(|entry| entry.bytes.clone()).collect();
    String::from_utf8(bytes).unwrap()
}

/// Compresses in place, as the monitor's child does.
pub(crate) fn compress(writer: &mut Writer) {
    while let Some(compression) = writer.take_compression() {
        let result = compression.run();
        writer.finish_compression(&compression, result.is_ok());
    }
}

#[test]
fn the_bytes_are_dockers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c-json.log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"hello\nwor");
    writer.write(Stream::Stderr, b"no\xff \"<quoted>\"\n");
    writer.write(Stream::Stdout, b"ld\nlast");
    writer.end(Stream::Stdout);
    let written = std::fs::read_to_string(&path).unwrap();
    let shapes: Vec<&str> =
        written.lines().map(|line| line.split_once(r#","time":""#).unwrap().0).collect();
    assert_eq!(
        shapes,
        [
            r#"{"log":"hello\n","stream":"stdout""#,
            r#"{"log":"no\ufffd \"\u003cquoted\u003e\"\n","stream":"stderr""#,
            r#"{"log":"world\n","stream":"stdout""#,
            r#"{"log":"last","stream":"stdout""#,
        ]
    );
}

#[test]
fn long_lines_are_split_at_16_kib() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    let line = "x".repeat(40_000) + "\n";
    for piece in line.as_bytes().chunks(1000) {
        writer.write(Stream::Stdout, piece);
    }
    writer.write(Stream::Stdout, ("y".repeat(16 << 10) + "\n").as_bytes());
    let entries = read(&path, Query::default());
    let lengths: Vec<usize> = entries.iter().map(|entry| entry.bytes.len()).collect();
    assert_eq!(lengths, [16 << 10, 16 << 10, 40_001 - (32 << 10), 16 << 10, 1]);
    assert!(entries[..3].iter().all(|entry| entry.time == entries[0].time));
}

fn numbered(path: &Path, options: LogOptions, lines: u64) -> Writer {
    let mut writer = Writer::open(path, options).unwrap();
    for number in 0..lines {
        writer.write(Stream::Stdout, format!("line {number}\n").as_bytes());
        if number % 100 == 0 {
            compress(&mut writer);
        }
    }
    compress(&mut writer);
    writer
}

const SMALL: LogOptions = LogOptions { max_size: 200_000, max_files: 4, compress: true };

#[test]
fn rotation_keeps_the_newest_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    numbered(&path, SMALL, 20_000);
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "log",
            "log.1.gz",
            "log.1.index",
            "log.2.gz",
            "log.2.index",
            "log.3.gz",
            "log.3.index",
            "log.index"
        ]
    );
    let entries = read(&path, Query::default());
    let first = text(&entries[..1]);
    let first: u64 = first.trim().strip_prefix("line ").unwrap().parse().unwrap();
    assert!(first > 0 && entries.len() as u64 == 20_000 - first);
    let wanted: String = (first..20_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(text(&entries), wanted);
}

#[test]
fn one_file_only_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    numbered(&path, LogOptions { max_size: 10_000, max_files: 1, compress: true }, 1000);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    assert!(path.metadata().unwrap().len() <= 10_100);
    assert!(text(&read(&path, Query::default())).ends_with("line 999\n"));
}

#[test]
fn the_tail_is_right_at_every_length() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    numbered(&path, SMALL, 6000);
    let all = read(&path, Query::default());
    assert_eq!(all.len(), 6000);
    for tail in [0, 1, 2, 10, 999, 2000, 2500, 3000, 4000, 5000, 5999, 6000, 6001, 1 << 40] {
        let query = Query { tail: Some(tail), ..Query::default() };
        let from = 6000 - usize::try_from(tail.min(6000)).unwrap();
        assert_eq!(read(&path, query), all[from..], "{tail}");
    }
}

#[test]
fn times_select_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    numbered(&path, SMALL, 6000);
    let all = read(&path, Query::default());
    for (from, to) in [(0, 5999), (17, 17), (3000, 3500), (5990, 5999), (1, 2500)] {
        let (since, until) = (Some(all[from].time), Some(all[to].time));
        let expected: Vec<Entry> = all
            .iter()
            .filter(|entry| entry.time >= all[from].time && entry.time <= all[to].time)
            .cloned()
            .collect();
        assert_eq!(read(&path, Query { since, until, ..Query::default() }), expected);
        // Without indexes more is read, and the same is found.
    }
    for number in ["", ".1", ".2", ".3"] {
        drop(std::fs::remove_file(directory.path().join(format!("log{number}.index"))));
    }
    assert_eq!(read(&path, Query::default()), all);
    let since = Some(all[5000].time);
    assert_eq!(read(&path, Query { since, ..Query::default() })[0].time, all[5000].time);
    let query = Query { tail: Some(4500), ..Query::default() };
    assert_eq!(read(&path, query), all[1500..]);
}

#[test]
fn streams_are_selected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"out\n");
    writer.write(Stream::Stderr, b"err\n");
    let only = |stdout, stderr| text(&read(&path, Query { stdout, stderr, ..Query::default() }));
    assert_eq!([only(true, false), only(false, true), only(false, false)], ["out\n", "err\n", ""]);
    assert_eq!(read(&directory.path().join("none"), Query::default()), []);
}

/// Not a bound (machines are noisy, and tests are not optimized): shows what writing and reading
/// costs.
#[test]
fn speed() {
    const LINES: usize = 200_000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let options = LogOptions { max_size: 0, ..LogOptions::default() };
    let mut writer = Writer::open(&path, options).unwrap();
    let line = "0123456789".repeat(10) + "abc\n";
    let piece = line.repeat((64 << 10) / line.len());
    let pieces = LINES / (piece.len() / line.len());
    let start = std::time::Instant::now();
    for _ in 0..pieces {
        writer.write(Stream::Stdout, piece.as_bytes());
    }
    let written = start.elapsed();
    let all = read(&path, Query::default());
    let read_all = start.elapsed() - written;
    let times = [
        Query { tail: Some(10), ..Query::default() },
        Query { since: Some(all[all.len() - 10].time), ..Query::default() },
    ]
    .map(|query| {
        let start = std::time::Instant::now();
        assert!(!read(&path, query).is_empty());
        start.elapsed()
    });
    let rate = |time: std::time::Duration| all.len() as f64 / time.as_secs_f64() / 1e6;
    println!(
        "written {:.2} M lines/s, read {:.2} M lines/s; tail 10 {:?}, since {:?}",
        rate(written),
        rate(read_all),
        times[0],
        times[1]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Write(Stream, Vec<u8>),
    Rotate,
    Compress,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let text = any::<String>().prop_map(String::into_bytes);
    let lines = "([a-z ]{0,30}\n){0,40}".prop_map(String::into_bytes);
    let long = (10_000..40_000_usize).prop_map(|length| vec![b'x'; length]);
    let bytes = prop_oneof![3 => text, 3 => lines, 1 => long];
    let step = prop_oneof![
        8 => (stream, bytes).prop_map(|(stream, bytes)| Step::Write(stream, bytes)),
        1 => Just(Step::Rotate),
        1 => Just(Step::Compress),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 0..30)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]
    #[test]
    fn what_was_written_is_read(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let options = LogOptions { max_size: 3000, max_files: 100_000, compress: true };
        let mut writer = Writer::open(&path, options).unwrap();
        let mut written = [Vec::new(), Vec::new()];
        for step in steps {
            match step {
                Step::Write(stream, bytes) => {
                    writer.write(stream, &bytes);
                    written[usize::from(stream == Stream::Stderr)].extend(bytes);
                }
                Step::Rotate => writer.rotate(),
                Step::Compress => compress(&mut writer),
                Step::Reopen => {
                    writer.end(Stream::Stdout);
                    writer.end(Stream::Stderr);
                    writer = Writer::open(&path, options).unwrap();
                }
            }
        }
        writer.end(Stream::Stdout);
        writer.end(Stream::Stderr);
        let entries = read(&path, Query::default());
        for (stream, written) in [Stream::Stdout, Stream::Stderr].into_iter().zip(written) {
            let bytes: Vec<u8> = entries
                .iter()
                .filter(|entry| entry.stream == stream)
                .flat_map(|entry| entry.bytes.clone())
                .collect();
            assert_eq!(normalized(&bytes), normalized(&written));
        }
        let half = entries.len() / 2;
        let query = Query { tail: Some((entries.len() - half) as u64), ..Query::default() };
        assert_eq!(read(&path, query), entries[half..]);
    }
}

/// A part of a long line may end in the middle of a character, whose halves are then replaced: that
/// is Docker's behavior too. Only what is plain is compared there.
fn normalized(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(u8::is_ascii).collect()
}
