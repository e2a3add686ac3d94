//! Measurements, run by hand:
//! `cargo test --release -p storage --test it bench -- --ignored --nocapture --test-threads 1`.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use oci::Digest;

use crate::World;

fn timed(what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{what:40} {:8.1} ms", start.elapsed().as_secs_f64() * 1000.0);
}

fn run(program: &str, arguments: &[&str]) {
    stdx::process::output(stdx::process::command(program).args(arguments)).unwrap();
}

/// A layer of about 360 MB from this machine's own files.
fn make_layer(directory: &Path) -> String {
    let list = directory.join("list");
    let find = stdx::process::output(stdx::process::command("find").args([
        "/usr/lib",
        "/usr/share",
        "/usr/include",
        "/usr/bin",
        "-xdev",
        "-size",
        "-20M",
        "-print0",
    ]))
    .unwrap();
    let mut total = 0;
    let mut names = Vec::new();
    for name in find.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name);
        let Ok(metadata) = fs::symlink_metadata(path) else { continue };
        if metadata.is_file() {
            total += metadata.len() + 512;
        }
        names.extend_from_slice(name);
        names.push(0);
        if total > 360_000_000 {
            break;
        }
    }
    fs::write(&list, names).unwrap();
    let layer = directory.join("layer.tar").to_str().unwrap().to_owned();
    let list = list.to_str().unwrap();
    run(
        "tar",
        &["-C", "/", "--format=posix", "--no-recursion", "--null", "-T", list, "-cPf", &layer],
    );
    layer
}

#[test]
#[ignore = "a measurement"]
fn unpack_beside_tar() {
    let world = World::new();
    let layer = make_layer(world.path());
    run("gzip", &["-k", "-6", &layer]);
    run("zstd", &["-q", "-k", "-3", &layer]);
    let bytes = fs::read(&layer).unwrap();
    let diff_id = Digest::of(&bytes);
    println!("{} MB", bytes.len() / 1_000_000);
    drop(bytes);
    let (gzip, zstd) = (format!("{layer}.gz"), format!("{layer}.zst"));
    // Nothing is removed in between: ext4 is slow to give out inodes freed less than a minute ago.
    for round in 0..3 {
        for archive in [&layer, &gzip, &zstd] {
            let name = Path::new(archive).file_name().unwrap().to_str().unwrap().to_owned();
            let out = world.path().join(format!("{name}.{round}")).to_str().unwrap().to_owned();
            rustix::fs::sync();
            fs::create_dir(&out).unwrap();
            let arguments = ["-C", &out, "-xPf", archive, "--strip-components=1"];
            timed(&format!("tar xf {name}"), || run("tar", &arguments));
            rustix::fs::sync();
            let mut file = File::open(archive).unwrap();
            timed(&format!("unpack {name}"), || {
                let layer = world.store.layers().unpack(&mut file, &diff_id).unwrap();
                assert!(layer.entries > 1000);
            });
            timed("  sync", || world.store.sync().unwrap());
            timed("  collect", || {
                world.store.collect_garbage(&|_| false).unwrap();
            });
        }
    }
    timed("empty trash", || {
        world.store.empty_trash().unwrap();
    });
}

/// Removing and making in turn, where ext4 is at its worst.
#[test]
#[ignore = "a measurement"]
fn unpack_after_removal() {
    let world = World::new();
    let layer = make_layer(world.path());
    let diff_id = Digest::of(&fs::read(&layer).unwrap());
    for round in 0..4 {
        let out = world.path().join("out").to_str().unwrap().to_owned();
        fs::create_dir(&out).unwrap();
        let arguments = ["-C", &out, "-xPf", &layer, "--strip-components=1"];
        timed(&format!("tar xf, {round} removed before"), || run("tar", &arguments));
        fs::remove_dir_all(&out).unwrap();
        let mut file = File::open(&layer).unwrap();
        timed(&format!("unpack, {round} removed before"), || {
            world.store.layers().unpack(&mut file, &diff_id).unwrap();
        });
        world.store.collect_garbage(&|_| false).unwrap();
        world.store.empty_trash().unwrap();
    }
}

#[test]
#[ignore = "a measurement"]
fn containers_and_records() {
    let world = World::new();
    let snapshots = world.store.snapshots();
    for volatile in [false, true] {
        timed(&format!("100 prepare (volatile: {volatile})"), || {
            for number in 0..100 {
                snapshots.prepare_container(&format!("c{number}"), &[], volatile).unwrap();
            }
        });
        timed("100 remove", || {
            for number in 0..100 {
                snapshots.remove(&format!("c{number}")).unwrap();
            }
        });
    }
    timed("empty trash", || {
        world.store.empty_trash().unwrap();
    });
    let records = world.store.records();
    let value = "x".repeat(4000);
    timed("100 records", || {
        for number in 0..100 {
            records.put(storage::Table::CONTAINERS, &number.to_string(), &value).unwrap();
        }
    });
    timed("100 records by 8 writers", || {
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let value = &value;
                scope.spawn(move || {
                    for number in 0..13 {
                        let key = format!("{writer}-{number}");
                        records.put(storage::Table::CONTAINERS, &key, value).unwrap();
                    }
                });
            }
        });
    });
    timed("10000 reads", || {
        for _ in 0..10_000 {
            let value: Option<String> = records.get(storage::Table::CONTAINERS, "7").unwrap();
            assert!(value.is_some());
        }
    });
}
