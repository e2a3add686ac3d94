//! A log's file and its index, as somebody else may have left them: read forwards and from the end.
#![no_main]

use std::sync::LazyLock;

use observe::log::{Query, Reader};

static DIRECTORY: LazyLock<std::path::PathBuf> = LazyLock::new(fuzz::directory);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [tail, index_length, since, bytes @ ..] = bytes else { return };
    let path = DIRECTORY.join("log");
    let (index, log) = bytes.split_at(usize::from(*index_length).min(bytes.len()));
    std::fs::write(&path, log).expect("the log is written");
    // A file without generation is looked at again and again: it might be in the middle of a rotation.
    let index = [&1_u64.to_le_bytes(), index].concat();
    std::fs::write(DIRECTORY.join("log.index"), index).expect("the index is written");
    let everything = read(&path, Query::default());
    let tailed = read(&path, Query { tail: Some(u64::from(*tail)), ..Query::default() });
    assert!(tailed <= everything, "{tailed} of {everything}");
    let since = u64::from(*since) << 53;
    assert!(read(&path, Query { since: Some(since), ..Query::default() }) <= everything);
    read(&path, Query { until: Some(since), tail: Some(3), ..Query::default() });
});

/// How many entries there are.
fn read(path: &std::path::Path, query: Query) -> usize {
    Reader::open(path, query).map_or(0, |reader| reader.flatten().count())
}
