//! Volumes, and what they get from an image.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci::Digest;
use stdx::ErrorKind;
use storage::NewVolume;

use crate::World;
use crate::archive::{Header, Tar};

fn named(name: &str) -> NewVolume {
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    NewVolume { name: Some(name.to_owned()), labels, ..NewVolume::default() }
}

#[test]
fn volumes_come_and_go() {
    let world = World::new();
    let volumes = world.store.volumes();
    let (volume, new) = volumes.create(&named("data")).unwrap();
    assert!(new && !volume.anonymous);
    fs::write(volumes.path("data").join("file"), "12345").unwrap();
    let (again, new) =
        volumes.create(&NewVolume { name: Some("data".into()), ..NewVolume::default() }).unwrap();
    assert!(!new && again == volume && volume.labels["a"] == "b");
    let (anonymous, _) = volumes.create(&NewVolume::default()).unwrap();
    assert!(anonymous.anonymous && anonymous.name.len() == 64);
    assert_eq!(volumes.list().unwrap().len(), 2);
    assert_eq!(volumes.usage("data").unwrap().size, 5);
    volumes.remove("data").unwrap();
    assert_eq!(volumes.remove("data").unwrap_err().kind(), ErrorKind::NotFound);
    volumes.create(&named("data")).unwrap();
    assert_eq!(fs::read_dir(volumes.path("data")).unwrap().count(), 0);
    for name in ["..", "a/b", "x", ""] {
        assert_eq!(volumes.create(&named(name)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(volumes.path(name).starts_with(world.path().join("data/volumes/_")));
    }
}

fn image(world: &World) -> Vec<Digest> {
    let archive = Tar::new()
        .entry(&Header { mode: 0o2770, uid: 33, gid: 34, ..Header::new(b'5', "srv/www") }, b"")
        .entry(
            &Header { mode: 0o4711, uid: 5, size: 2, ..Header::new(b'0', "srv/www/tool") },
            b"hi",
        )
        .hard_link("srv/www/tool2", "srv/www/tool")
        .symlink("srv/www/link", "/etc/passwd")
        .pax(&[("SCHILY.xattr.user.note", b"kept")])
        .directory("srv/www/sub")
        .node(b'6', "srv/www/sub/pipe", (0, 0))
        .directory("empty")
        .symlink("alias", "/srv/www")
        .symlink("outside", "../../../../../../../etc")
        .file("file", b"")
        .end();
    world.layer(&archive);
    vec![Digest::of(&archive)]
}

#[test]
fn an_empty_volume_gets_what_the_image_has() {
    let world = World::new();
    let volumes = world.store.volumes();
    let view = world.store.snapshots().view_image(&image(&world)).unwrap();
    for (name, path) in
        [("direct", "/srv/www"), ("through-link", "/alias"), ("climbing", "/../srv/./www/")]
    {
        volumes.create(&named(name)).unwrap();
        assert!(volumes.copy_up(name, view.as_fd(), Path::new(path)).unwrap(), "{path}");
        let root = volumes.path(name);
        let directory = root.metadata().unwrap();
        assert_eq!((directory.mode() & 0o7777, directory.uid(), directory.gid()), (0o2770, 33, 34));
        let tool = root.join("tool").metadata().unwrap();
        assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.nlink()), (0o4711, 5, 2));
        assert_eq!(tool.mtime(), 1_000_000_000);
        assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("/etc/passwd"));
        let mut value = [0; 9];
        assert_eq!(rustix::fs::getxattr(root.join("sub"), c"user.note", &mut value[..]), Ok(4));
        assert!(root.join("sub/pipe").metadata().unwrap().file_type().is_fifo());
        // Once only.
        fs::remove_file(root.join("tool2")).unwrap();
        assert!(!volumes.copy_up(name, view.as_fd(), Path::new("/srv/www")).unwrap());
        assert!(!root.join("tool2").exists());
    }
}

#[test]
fn what_is_no_directory_of_the_image_is_not_copied() {
    let world = World::new();
    let volumes = world.store.volumes();
    let view = world.store.snapshots().view_image(&image(&world)).unwrap();
    volumes.create(&named("vol")).unwrap();
    for path in ["/missing", "/file", "/outside", "/missing/deeper"] {
        assert!(!volumes.copy_up("vol", view.as_fd(), Path::new(path)).unwrap(), "{path}");
        assert_eq!(fs::read_dir(volumes.path("vol")).unwrap().count(), 0);
    }
    assert!(!volumes.copy_up("vol", view.as_fd(), Path::new("/empty")).unwrap());
    assert!(volumes.copy_up("none", view.as_fd(), Path::new("/srv/www")).is_err());
}

#[test]
fn a_copy_that_was_cut_off_is_done_again() {
    let world = World::new();
    let volumes = world.store.volumes();
    let view = world.store.snapshots().view_image(&image(&world)).unwrap();
    volumes.create(&named("vol")).unwrap();
    let root = volumes.path("vol");
    fs::write(root.join("tool"), "h").unwrap();
    fs::write(root.parent().unwrap().join("copying"), "").unwrap();
    assert!(volumes.copy_up("vol", view.as_fd(), Path::new("/srv/www")).unwrap());
    assert_eq!(fs::read(root.join("tool")).unwrap(), b"hi");
    assert!(!root.parent().unwrap().join("copying").exists());
}
