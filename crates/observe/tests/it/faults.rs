//! A full disk, a killed writer, damaged files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use observe::log::{LogOptions, Query, Stream, Writer};

use crate::log::{compress, read, text};

/// A file system of 256 KiB.
struct Small {
    directory: tempfile::TempDir,
}

impl Small {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let mut mount = stdx::process::command("mount");
        stdx::process::output(mount.args(arguments).arg(directory.path())).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut unmount = stdx::process::command("umount");
        stdx::process::output(unmount.arg(self.directory.path())).unwrap();
    }
}

#[test]
fn a_full_disk_loses_lines_says_so_and_damages_nothing() {
    let small = Small::new();
    let path = small.path("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    let ballast = small.path("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let line = "x".repeat(99) + "\n";
    let mut written = 0;
    while writer.lost() == 0 {
        writer.write(Stream::Stdout, line.as_bytes());
        written += 1;
    }
    writer.write(Stream::Stdout, line.as_bytes());
    assert_eq!(writer.lost(), 200);
    std::fs::remove_file(&ballast).unwrap();
    drop(file);
    writer.write(Stream::Stdout, b"again\n");
    let entries = read(&path, Query::default());
    assert_eq!(entries.len(), written - 1 + 2);
    let end = text(&entries[written - 1..]);
    assert_eq!(end, "brig: 2 lines (200 bytes) of output lost: no space for the log\nagain\n");
}

#[test]
fn rotation_on_a_full_disk_goes_on_in_the_old_file() {
    let small = Small::new();
    let path = small.path("log");
    let options = LogOptions { max_size: 20_000, max_files: 100, compress: false };
    let mut writer = Writer::open(&path, options).unwrap();
    for _ in 0..10_000 {
        writer.write(Stream::Stdout, b"0123456789 0123456789 0123456789\n");
    }
    assert!(writer.lost() > 0);
    let kept = read(&path, Query::default()).len();
    assert_eq!(kept as u64 * 33 + writer.lost(), 330_000);
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_killed_writers_half_line_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"one\n");
    drop(writer);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"log\":\"half").unwrap();
    std::fs::write(directory.path().join("log.3.gz.tmp"), "left over").unwrap();
    assert_eq!(text(&read(&path, Query::default())), "one\n");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"two\n");
    assert_eq!(text(&read(&path, Query::default())), "one\ntwo\n");
    assert_eq!(names(directory.path()), ["log", "log.index"]);
}

/// A writer killed in its fourth rotation leaves files as `cut_short` makes them from its names.
fn check_cut_short(cut_short: impl Fn(&dyn Fn(&str) -> PathBuf)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let options = LogOptions { max_size: 0, max_files: 6, compress: false };
    let mut writer = Writer::open(&path, options).unwrap();
    for number in 0..4 {
        if number > 0 {
            writer.rotate();
        }
        writer.write(Stream::Stdout, format!("{number}\n").as_bytes());
    }
    drop(writer);
    let name = |suffix: &str| directory.path().join(format!("log{suffix}"));
    std::fs::rename(name(".index"), name(".index.tmp")).unwrap();
    std::fs::write(name(".next.tmp"), "").unwrap();
    cut_short(&name);
    let mut writer = Writer::open(&path, options).unwrap();
    writer.write(Stream::Stdout, b"4\n");
    writer.rotate();
    writer.write(Stream::Stdout, b"5\n");
    assert_eq!(text(&read(&path, Query::default())), "0\n1\n2\n3\n4\n5\n");
}

#[test]
fn a_rotation_cut_short_is_made_good() {
    let shift = |name: &dyn Fn(&str) -> PathBuf, numbers: &[u8]| {
        for number in numbers {
            let to = number + 1;
            std::fs::rename(name(&format!(".{number}")), name(&format!(".{to}"))).unwrap();
            let [from, to] = [number, &to].map(|number| name(&format!(".{number}.index")));
            std::fs::rename(from, to).unwrap();
        }
    };
    check_cut_short(|_| {});
    check_cut_short(|name| shift(name, &[3]));
    check_cut_short(|name| shift(name, &[3, 2]));
    check_cut_short(|name| {
        shift(name, &[3]);
        std::fs::rename(name(".2"), name(".3")).unwrap();
    });
    check_cut_short(|name| {
        shift(name, &[3, 2, 1]);
        std::fs::hard_link(name(""), name(".1")).unwrap();
    });
    check_cut_short(|name| {
        shift(name, &[3, 2, 1]);
        std::fs::hard_link(name(""), name(".1")).unwrap();
        std::fs::rename(name(".index.tmp"), name(".1.index")).unwrap();
        std::fs::copy(name(".1.index"), name(".index")).unwrap();
    });
}

#[test]
fn damage_costs_only_what_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut writer = Writer::open(&path, LogOptions::default()).unwrap();
    writer.write(Stream::Stdout, b"one\n");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"\0\0\0garbage\n{\"log\":5}\n").unwrap();
    writer.write(Stream::Stdout, b"two\n");
    assert_eq!(text(&read(&path, Query::default())), "one\ntwo\n");
    writer.rotate();
    compress(&mut writer);
    writer.write(Stream::Stdout, b"three\n");
    assert_eq!(text(&read(&path, Query::default())), "one\ntwo\nthree\n");
}
