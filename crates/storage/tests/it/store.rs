//! Locks, instance, boots.

use std::fs;
use std::io::Write;

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
    let store = Store::open(layout).unwrap();
    assert!(store.is_first_of_boot());
    assert!(store.content().has(&durable) && !store.content().has(&pending));
    assert!(!store.layers().has(&Digest::of(&archive)));
    assert_eq!(store.content().writer(&partial, None).unwrap().offset(), 0);
    assert!(store.transient().list::<String>(Table::CONTAINERS).unwrap().is_empty());
    assert_eq!(store.records().list::<String>(Table::CONTAINERS).unwrap().len(), 1);
    assert!(store.empty_trash().unwrap() > 0);
    drop((store, directory));
}
