//! Killed at any moment: nothing acknowledged is lost, nothing half-made is seen.
//!
//! The test runs itself as a child (the ignored test below), which works on a store and writes to
//! its standard output what it has been promised; the child is killed after some of these lines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use oci::Digest;
use storage::{Layout, Store, Table};

use crate::archive::Tar;
use crate::images::make;

/// The file in the current directory that makes the child's test do something.
const ORDER: &str = "crash-here";

/// Works until killed, telling what is done.
#[test]
#[ignore = "a child of another test"]
fn child() {
    let here = std::env::current_dir().unwrap();
    if !here.join(ORDER).exists() {
        return;
    }
    let store = Store::open(Layout::at_root(&here.join("root"))).unwrap();
    let mut told = std::io::stdout().lock();
    for number in 0_u32.. {
        let first = number == 0;
        let unique = stdx::hex::encode(&stdx::random::bytes::<8>());
        let image = make(&store, &unique, &[&format!("image:{unique}")]);
        store.images().put(&image).unwrap();
        writeln!(told, "@image {}", image.id).unwrap();
        store.snapshots().prepare_container(&unique, &image.diff_ids(), false).unwrap();
        store.records().put(Table::CONTAINERS, &unique, &image.diff_ids()).unwrap();
        writeln!(told, "@container {unique}").unwrap();
        let mut tar = Tar::new();
        for file in 0..30 {
            tar = tar.file(format!("d{file}/f"), unique.as_bytes());
        }
        let archive = tar.end();
        store.layers().unpack(&mut &archive[..], &Digest::of(&archive)).unwrap();
        writeln!(told, "@layer {}", Digest::of(&archive)).unwrap();
        if !first {
            store.collect_garbage(&|_| true).unwrap();
            store.empty_trash().unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_a_sound_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(ORDER), "").unwrap();
    let root = directory.path().join("root");
    let mut acknowledged = Vec::new();
    for round in 0..12_usize {
        let mut child = stdx::process::command(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "crash::child", "--nocapture"])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        for _ in 0..4 + round {
            line.clear();
            lines.read_line(&mut line).unwrap();
            acknowledged.extend(line.find('@').map(|at| line[at..].trim().to_owned()));
        }
        // Somewhere in the middle of what follows.
        std::thread::sleep(std::time::Duration::from_micros(700 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let whole = rest.rsplit_once('\n').map_or("", |(whole, _)| whole);
        acknowledged.extend(whole.lines().filter(|line| line.starts_with('@')).map(str::to_owned));

        let store = Store::open(Layout::at_root(&root)).unwrap();
        check(&store, &acknowledged);
        drop(store);
    }
    assert!(acknowledged.len() > 30);
}

fn check(store: &Store, acknowledged: &[String]) {
    for line in acknowledged {
        match line.split_once(' ').unwrap() {
            ("@image", id) => {
                let image = store.images().resolve(id).unwrap();
                assert_eq!(image.names.len(), 1);
                store.content().read(&image.id).unwrap();
                store.content().read(&image.manifest.digest).unwrap();
                store.content().read(&image.layers[0].blob.as_ref().unwrap().digest).unwrap();
                assert!(store.layers().has(&image.layers[0].diff_id));
            }
            ("@container", id) => {
                store.snapshots().root_mount(id).unwrap();
                assert!(
                    store.records().get::<Vec<Digest>>(Table::CONTAINERS, id).unwrap().is_some()
                );
            }
            _ => {}
        }
    }
    // Every layer that is seen is whole.
    for layer in store.layers().list().unwrap() {
        let storage::Lower::Directory(directory) = store.layers().lower(&layer.diff_id).unwrap()
        else {
            panic!("no directory")
        };
        let mut files = Vec::new();
        crate::walk(&directory, &mut files);
        let files = files.iter().filter(|path| path.is_file()).count() as u64;
        assert_eq!(files, layer.entries);
    }
    assert!(store.images().list().unwrap().iter().all(|image| image.names.len() == 1));
    let partial = store.layout().data.join("layers/partial");
    assert_eq!(fs::read_dir(partial).unwrap().count(), 0);
    store.collect_garbage(&|_| true).unwrap();
    store.empty_trash().unwrap();
}
