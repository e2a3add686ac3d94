//! What is collected, and what is kept.

use std::io::Write;

use oci::{Digest, Reference};

use crate::World;
use crate::images::make;

#[test]
fn what_nobody_refers_to_goes() {
    let world = World::new();
    let store = &world.store;
    let kept = make(store, "kept", &["kept"]);
    store.images().put(&kept).unwrap();
    let gone = make(store, "gone", &["gone"]);
    store.images().put(&gone).unwrap();
    assert_eq!(store.collect_garbage(&|_| true).unwrap(), storage::Collected::default());
    assert!(store.images().untag(&Reference::parse("gone").unwrap()).unwrap().removed);
    let collected = store.collect_garbage(&|_| true).unwrap();
    assert_eq!((collected.blobs, collected.layers), (3, 1));
    assert!(collected.bytes > 0);
    assert!(!store.layers().has(&gone.layers[0].diff_id));
    assert!(store.layers().has(&kept.layers[0].diff_id));
    assert!(store.content().has(&kept.manifest.digest));
    assert!(store.images().resolve("kept").is_ok());
    assert_eq!(store.empty_trash().unwrap(), 1);
}

#[test]
fn a_container_keeps_its_layers() {
    let world = World::new();
    let store = &world.store;
    let image = make(store, "image", &["image"]);
    store.images().put(&image).unwrap();
    for id in ["one", "two"] {
        store.snapshots().prepare_container(id, &image.diff_ids(), false).unwrap();
    }
    store.images().remove(&image.id).unwrap();
    let collected = store.collect_garbage(&|id| id == "one").unwrap();
    assert_eq!((collected.snapshots, collected.layers), (1, 0));
    assert_eq!(store.snapshots().list().unwrap(), ["one"]);
    // Damaged: which layers it stands on cannot be told.
    let record = world.path().join("data/snapshots/one/snapshot.json");
    std::fs::write(&record, "").unwrap();
    assert_eq!(store.collect_garbage(&|_| true).unwrap().layers, 0);
    assert_eq!(store.collect_garbage(&|_| false).unwrap().layers, 1);
}

#[test]
fn a_pull_under_way_keeps_what_it_wrote_and_what_it_found() {
    let world = World::new();
    let store = &world.store;
    let found = store.content().write(b"found").unwrap();
    let lease = store.lease();
    let image = make(store, "pulled", &["pulled"]);
    lease.hold(&found);
    store.content().writer(&Digest::of(b"cut"), None).unwrap().write_all(b"cu").unwrap();
    assert_eq!(store.collect_garbage(&|_| true).unwrap(), storage::Collected::default());
    store.images().put(&image).unwrap();
    drop(lease);
    assert_eq!(store.collect_garbage(&|_| true).unwrap().blobs, 1);
    assert!(!store.content().has(&found));
    assert!(store.content().has(&image.id));
    assert_eq!(store.content().writer(&Digest::of(b"cut"), None).unwrap().offset(), 2);
}

#[test]
fn pulls_and_collections_at_once() {
    let world = World::new();
    let store = &world.store;
    std::thread::scope(|scope| {
        for puller in 0..3 {
            scope.spawn(move || {
                for round in 0..8 {
                    let _lease = store.lease();
                    let name = format!("image-{puller}:{round}");
                    let image = make(store, &format!("{puller} {}", round % 3), &[&name]);
                    for digest in [&image.id, &image.manifest.digest] {
                        assert!(store.content().has(digest));
                    }
                    store.images().put(&image).unwrap();
                    if round % 2 == 0 {
                        store.images().untag(&Reference::parse(&name).unwrap()).unwrap();
                    }
                }
            });
        }
        for _ in 0..20 {
            store.collect_garbage(&|_| true).unwrap();
        }
    });
    for image in store.images().list().unwrap() {
        assert!(store.content().has(&image.id));
        assert!(store.layers().has(&image.layers[0].diff_id));
    }
}

#[test]
fn the_index_that_an_image_was_found_by_is_kept() {
    let world = World::new();
    let store = &world.store;
    let index = store.content().write(b"index").unwrap();
    let mut image = make(store, "image", &["image"]);
    image.names.push(Reference::parse("image").unwrap().with_digest(index.clone()));
    store.images().put(&image).unwrap();
    assert_eq!(store.collect_garbage(&|_| true).unwrap(), storage::Collected::default());
    store.images().remove(&image.id).unwrap();
    store.collect_garbage(&|_| true).unwrap();
    assert!(!store.content().has(&index));
}

#[test]
fn containers_are_made_while_their_image_goes() {
    let world = World::new();
    let store = &world.store;
    let diff_ids = make(store, "image", &[]).diff_ids();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.collect_garbage(&|_| true).unwrap();
            }
        });
        for round in 0..200 {
            make(store, "image", &[]);
            let id = format!("c{round}");
            // Either there is no container, or it has its layers.
            if store.snapshots().prepare_container(&id, &diff_ids, false).is_ok() {
                assert!(store.layers().has(&diff_ids[0]), "round {round}");
            }
            store.snapshots().remove(&id).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
