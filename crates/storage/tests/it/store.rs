//! Locks, instance, boots.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci::Digest;
use stdx::ErrorKind;
use storage::{Error, Layout, Store, Table};

use crate::World;
use crate::archive::Tar;

#[test]
fn one_daemon_at_a_time() {
    let world = World::new();
    let layout = world.store.layout().clone();
    let error = Store::open(layout.clone()).unwrap_err();
    let me = std::process::id();
    assert!(matches!(error, Error::InUse { pid: Some(pid), .. } if pid == me), "{error}");
    assert!(error.to_string().contains(&format!("(process {me})")));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint().is_some());
    assert_eq!(layout.owner().unwrap(), Some(me));
    let World { directory, store } = world;
    let instance = store.instance().clone();
    assert_eq!((instance.as_str().len(), instance.short().len()), (32, 6));
    drop(store);
    assert_eq!(layout.owner().unwrap(), None);
    let store = Store::open(layout).unwrap();
    assert_eq!(*store.instance(), instance);
    drop((store, directory));
}

#[test]
fn one_starter_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::at_root(directory.path());
    let lock = layout.start_lock().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let layout = &layout;
        scope.spawn(move || {
            let _lock = layout.start_lock().unwrap();
            sender.send(()).unwrap();
        });
        assert!(receiver.recv_timeout(std::time::Duration::from_millis(50)).is_err());
        drop(lock);
        receiver.recv().unwrap();
    });
}

#[test]
fn a_reboot_discards_what_was_not_on_the_disk() {
    let World { directory, store } = World::new();
    assert!(store.is_first_of_boot());
    let layout = store.layout().clone();
    let durable = store.content().write(b"durable").unwrap();
    store.sync().unwrap();
    let pending = store.content().write(b"pending").unwrap();
    let archive = Tar::new().file("x", b"").end();
    store.layers().unpack(&mut &archive[..], &Digest::of(&archive)).unwrap();
    let partial = Digest::of(b"partial");
    store.content().writer(&partial, None).unwrap().write_all(b"par").unwrap();
    store.transient().put(Table::CONTAINERS, "c", "run-time").unwrap();
    store.records().put(Table::CONTAINERS, "d", "durable").unwrap();
    drop(store);

    // The process ended, the machine did not: everything written is still there.
    let store = Store::open(layout.clone()).unwrap();
    assert!(!store.is_first_of_boot());
    assert!(store.content().has(&pending) && store.content().has(&durable));
    assert!(store.layers().has(&Digest::of(&archive)));
    assert_eq!(store.content().writer(&partial, None).unwrap().offset(), 3);
    assert_eq!(store.transient().list::<String>(Table::CONTAINERS).unwrap().len(), 1);
    drop(store);

    // Another boot.
    fs::write(layout.data.join("boot"), "another\n").unwrap();
    fs::write(layout.run.join("boot"), "another\n").unwrap();
    fs::write(layout.run.join("brig.sock"), "").unwrap();
    fs::write(layout.run.join("somebody-elses"), "").unwrap();
    let store = Store::open(layout).unwrap();
    assert!(store.is_first_of_boot());
    let run = |name| store.layout().run.join(name);
    assert!(!run("brig.sock").exists() && run("somebody-elses").exists());
    assert!(store.content().has(&durable) && !store.content().has(&pending));
    assert!(!store.layers().has(&Digest::of(&archive)));
    assert_eq!(store.content().writer(&partial, None).unwrap().offset(), 0);
    assert!(store.transient().list::<String>(Table::CONTAINERS).unwrap().is_empty());
    assert_eq!(store.records().list::<String>(Table::CONTAINERS).unwrap().len(), 1);
    assert!(store.empty_trash().unwrap() > 0);
    drop((store, directory));
}

/// Every path below a directory, with its mode.
fn tree(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut paths = vec![directory.to_owned()];
    crate::walk(directory, &mut paths);
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), path.metadata().unwrap().mode())).collect()
}

#[test]
fn strangers_directories_are_left_alone() {
    for name in ["run", "data"] {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::at_root(directory.path());
        let stranger = directory.path().join(name);
        fs::create_dir_all(stranger.join("containers/x")).unwrap();
        fs::write(stranger.join("boot"), "mine").unwrap();
        fs::write(stranger.join("lock"), "mine").unwrap();
        let before = tree(directory.path());
        let error = Store::open(layout.clone()).unwrap_err();
        assert!(matches!(&error, Error::Foreign { directory, .. } if *directory == stranger));
        assert!(error.hint().is_some());
        layout.start_lock().unwrap_err();
        assert_eq!(tree(directory.path()), before);
    }
}

#[test]
fn directories_that_a_start_has_only_begun_are_ours() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::at_root(directory.path());
    drop(layout.start_lock().unwrap());
    fs::create_dir(&layout.data).unwrap();
    fs::write(layout.daemon_log(), "starting").unwrap();
    fs::write(layout.data.join(".instance.0a1b2c3d.tmp"), "").unwrap();
    drop(Store::open(layout.clone()).unwrap());
    // A power cut emptied the run directory's mark.
    fs::write(layout.run.join("boot"), "").unwrap();
    fs::create_dir_all(layout.run.join("containers/c")).unwrap();
    drop(layout.start_lock().unwrap());
    assert!(Store::open(layout.clone()).unwrap().is_first_of_boot());
    assert!(!layout.run.join("containers").exists());
}
