//! Containers' own files above layers, mounted for real.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use linux::mount::{OverlayOptions, overlay};
use oci::Digest;
use storage::{Error, RootMount};

use crate::World;
use crate::archive::Tar;

fn mount(mount: &RootMount) -> OwnedFd {
    let RootMount::Overlay { lowers, upper, work, volatile } = mount else { panic!("unknown") };
    let options = OverlayOptions {
        lowers,
        upper: Some(upper),
        work: Some(work),
        volatile: *volatile,
        ..OverlayOptions::default()
    };
    overlay(&options).unwrap()
}

/// A path that reaches into a detached mount.
fn inside(mount: &OwnedFd) -> PathBuf {
    let number = std::os::fd::AsRawFd::as_raw_fd(mount);
    PathBuf::from(format!("/proc/self/fd/{number}"))
}

fn layers(world: &World) -> Vec<Digest> {
    let lower = Tar::new()
        .directory("etc")
        .file("etc/kept", b"lower")
        .file("etc/gone", b"lower")
        .file("etc/changed", b"lower")
        .directory("data")
        .file("data/hidden", b"lower")
        .end();
    let upper = Tar::new()
        .file("etc/changed", b"upper")
        .file("etc/.wh.gone", b"")
        .directory("data")
        .file("data/.wh..wh..opq", b"")
        .file("data/new", b"upper")
        .end();
    let layers = [lower, upper].map(|archive| {
        world.layer(&archive);
        Digest::of(&archive)
    });
    layers.to_vec()
}

#[test]
fn layers_hide_what_is_below_them() {
    let world = World::new();
    let diff_ids = layers(&world);
    let snapshots = world.store.snapshots();
    for volatile in [false, true] {
        let id = format!("c-{volatile}");
        let root = snapshots.prepare_container(&id, &diff_ids, volatile).unwrap();
        assert_eq!(snapshots.root_mount(&id).unwrap(), root);
        let text = serde_json::to_string(&root).unwrap();
        assert_eq!(serde_json::from_str::<RootMount>(&text).unwrap(), root);
        let mounted = mount(&root);
        let inside = inside(&mounted);
        assert_eq!(fs::read(inside.join("etc/kept")).unwrap(), b"lower");
        assert_eq!(fs::read(inside.join("etc/changed")).unwrap(), b"upper");
        assert!(!inside.join("etc/gone").exists());
        assert!(!inside.join("data/hidden").exists());
        assert_eq!(fs::read(inside.join("data/new")).unwrap(), b"upper");
        assert_eq!(inside.metadata().unwrap().mode() & 0o7777, 0o755);
        fs::write(inside.join("etc/kept"), "mine").unwrap();
        drop(mounted);
        let layer = world.store.layers().lower(&diff_ids[0]).unwrap();
        let storage::Lower::Directory(layer) = layer else { panic!("no directory") };
        assert_eq!(fs::read(layer.join("etc/kept")).unwrap(), b"lower");
        let again = snapshots.prepare_container(&id, &diff_ids, volatile);
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    }
    assert_eq!(snapshots.list().unwrap(), ["c-false", "c-true"]);
}

#[test]
fn usage_and_view() {
    let world = World::new();
    let diff_ids = layers(&world);
    let snapshots = world.store.snapshots();
    let root = snapshots.prepare_container("c1", &diff_ids, false).unwrap();
    assert_eq!(snapshots.usage("c1").unwrap(), storage::Usage::default());
    let mounted = mount(&root);
    let inside = inside(&mounted);
    fs::write(inside.join("etc/kept"), "123").unwrap();
    fs::write(inside.join("added"), "12345").unwrap();
    fs::hard_link(inside.join("added"), inside.join("added2")).unwrap();
    fs::remove_file(inside.join("data/new")).unwrap();
    fs::remove_file(inside.join("etc/changed")).unwrap();
    fs::create_dir(inside.join("dir")).unwrap();
    let usage = snapshots.usage("c1").unwrap();
    assert_eq!(usage.size, 8);
    drop(mounted);
    let view = snapshots.view("c1").unwrap();
    let view = self::inside(&view);
    assert_eq!(fs::read(view.join("added")).unwrap(), b"12345");
    assert!(fs::write(view.join("added"), "x").is_err());
    assert!(!view.join("etc/changed").exists());
}

#[test]
fn an_image_without_layers_and_one_that_hides_all() {
    let world = World::new();
    let snapshots = world.store.snapshots();
    let root = snapshots.prepare_container("scratch", &[], false).unwrap();
    let mounted = mount(&root);
    fs::write(inside(&mounted).join("file"), "x").unwrap();
    assert!(snapshots.view("scratch").is_ok());
    assert_eq!(fs::read_dir(inside(&snapshots.view_image(&[]).unwrap())).unwrap().count(), 0);
    let lower = Tar::new().file("lower", b"").end();
    let opaque = Tar::new().file(".wh..wh..opq", b"").file("upper", b"").end();
    let diff_ids = [&lower, &opaque].map(|archive| {
        world.layer(archive);
        Digest::of(archive)
    });
    let view = snapshots.view_image(&diff_ids).unwrap();
    assert!(inside(&view).join("upper").exists() && !inside(&view).join("lower").exists());
    let missing = snapshots.prepare_container("x", &[Digest::of(b"missing")], false);
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    for id in ["", "..", "a/b", ".x", "../../etc"] {
        assert!(snapshots.prepare_container(id, &[], false).is_err(), "{id}");
    }
}

#[test]
fn removal_is_a_rename_and_damage_is_mended() {
    let world = World::new();
    let snapshots = world.store.snapshots();
    let root = snapshots.prepare_container("c1", &[], false).unwrap();
    let RootMount::Overlay { upper, .. } = &root else { panic!("unknown") };
    for number in 0..50 {
        File::create(upper.join(format!("f{number}"))).unwrap();
    }
    // A power cut took the record: preparing again keeps the files.
    fs::write(upper.parent().unwrap().join("snapshot.json"), "").unwrap();
    assert!(matches!(snapshots.root_mount("c1"), Err(Error::NotFound { .. })));
    assert_eq!(snapshots.prepare_container("c1", &[], false).unwrap(), root);
    assert_eq!(snapshots.usage("c1").unwrap().inodes, 50);
    snapshots.remove("c1").unwrap();
    snapshots.remove("c1").unwrap();
    assert!(snapshots.list().unwrap().is_empty());
    assert_eq!(world.store.empty_trash().unwrap(), 1);
    assert_eq!(world.store.empty_trash().unwrap(), 0);
}

#[test]
fn an_image_may_repeat_a_layer() {
    let world = World::new();
    let [lower, upper] = layers(&world).try_into().unwrap();
    let diff_ids = [lower.clone(), upper.clone(), lower.clone(), upper.clone(), upper];
    let snapshots = world.store.snapshots();
    let mounted = mount(&snapshots.prepare_container("c1", &diff_ids, false).unwrap());
    assert_eq!(fs::read(inside(&mounted).join("etc/changed")).unwrap(), b"upper");
    assert!(!inside(&mounted).join("etc/gone").exists());
    drop(mounted);
    let view = snapshots.view_image(&[&diff_ids[..], &[lower]].concat()).unwrap();
    assert_eq!(fs::read(inside(&view).join("etc/changed")).unwrap(), b"lower");
    assert_eq!(fs::read(inside(&view).join("etc/gone")).unwrap(), b"lower");
    assert_eq!(fs::read(inside(&view).join("data/new")).unwrap(), b"upper");
}
