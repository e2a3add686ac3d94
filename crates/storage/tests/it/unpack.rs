//! What a well-formed layer becomes.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use oci::Digest;
use storage::Layout;

use crate::World;
use crate::archive::{Header, Tar};

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1000];
    let name = CString::new(name).unwrap();
    let length = rustix::fs::lgetxattr(path, name.as_c_str(), &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = path.symlink_metadata().unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

#[test]
fn files_of_every_kind() {
    let world = World::new();
    let program = Header { mode: 0o4755, uid: 5, gid: 6, size: 3, ..Header::new(b'0', "bin/su") };
    let sticky = Header { mode: 0o1777, mtime: 77, ..Header::new(b'5', "tmp/") };
    let archive = Tar::new()
        .directory("./")
        .directory("bin")
        .entry(&program, b"su!")
        .hard_link("bin/su2", "bin/su")
        .symlink("bin/sh", "/bin/su")
        .entry(&sticky, b"")
        .file("tmp/file", b"late")
        .node(b'3', "dev-null", (1, 3))
        .node(b'4', "dev-loop", (7, 300))
        .node(b'6', "pipe", (0, 0))
        .file("/absolute/implied/file", b"x")
        .file("empty", b"")
        .end();
    let root = world.layer(&archive);
    let su = root.join("bin/su").metadata().unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 5, 6, 2));
    assert_eq!(su.mtime(), 1_000_000_000);
    assert_eq!(fs::read(root.join("bin/su2")).unwrap(), b"su!");
    assert_eq!(fs::read_link(root.join("bin/sh")).unwrap(), Path::new("/bin/su"));
    assert_eq!(root.join("bin/sh").symlink_metadata().unwrap().mtime(), 1_000_000_000);
    let tmp = root.join("tmp").metadata().unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime()), (0o1777, 77));
    let null = root.join("dev-null").metadata().unwrap();
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(root.join("dev-loop").metadata().unwrap().rdev(), rustix::fs::makedev(7, 300));
    assert!(root.join("pipe").metadata().unwrap().file_type().is_fifo());
    assert_eq!(fs::read(root.join("absolute/implied/file")).unwrap(), b"x");
    assert_eq!(root.join("absolute").metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(root.metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(root.join("empty").metadata().unwrap().len(), 0);
    let layer = world.store.layers().get(&Digest::of(&archive)).unwrap();
    assert_eq!((layer.size, layer.entries), (8, 12));
    assert!(root.to_str().unwrap().len() < world.path().to_str().unwrap().len() + 100);
}

#[test]
fn whiteouts_and_opaque_directories() {
    let world = World::new();
    let archive = Tar::new()
        .directory("etc")
        .file("etc/.wh.gone", b"")
        .directory("data")
        .file("data/.wh..wh..opq", b"")
        .file("data/kept", b"1")
        .file("early/.wh..wh..opq", b"")
        .directory("early")
        // Removed below, made again here; in either order.
        .file(".wh.again", b"")
        .directory("again")
        .directory("other")
        .file("other/file", b"")
        .file(".wh.other", b"")
        .file(".wh.implied", b"")
        .file("implied/file", b"")
        .file("plain", b"mine")
        .file(".wh.plain", b"")
        // Another storage driver's.
        .file(".wh..wh.plnk/1.2", b"")
        .file(".wh..wh.aufs", b"")
        // Overlay's own form is not for strangers.
        .node(b'3', "fake", (0, 0))
        .end();
    let root = world.layer(&archive);
    assert!(is_whiteout(&root.join("etc/gone")));
    let opaque = |name: &str| attribute(&root.join(name), "trusted.overlay.opaque");
    for name in ["data", "early", "again", "other", "implied"] {
        assert_eq!(opaque(name).as_deref(), Some(&b"y"[..]), "{name}");
    }
    assert_eq!(opaque("etc"), None);
    assert!(root.join("other/file").exists());
    assert_eq!(fs::read(root.join("plain")).unwrap(), b"mine");
    assert!(root.join("fake").symlink_metadata().is_err());
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_str().unwrap().starts_with(".wh")), "{names:?}");
    assert!(!world.unpack(&archive).unwrap().opaque);
    assert!(world.unpack(&Tar::new().file(".wh..wh..opq", b"").end()).unwrap().opaque);
}

#[test]
fn extended_attributes_but_not_overlays() {
    let world = World::new();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let archive = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"with = and \n"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ])
        .entry(&Header { uid: 9, size: 1, ..Header::new(b'0', "ping") }, b"p")
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.mine", b"1"),
        ])
        .directory("dir")
        .pax(&[("SCHILY.xattr.trusted.mine", b"2")])
        .symlink("link", "nowhere")
        .end();
    let root = world.layer(&archive);
    let ping = root.join("ping");
    assert_eq!(attribute(&ping, "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(attribute(&ping, "user.note").as_deref(), Some(&b"with = and \n"[..]));
    for name in ["trusted.overlay.opaque", "user.overlay.opaque"] {
        assert_eq!(attribute(&ping, name), None);
    }
    assert_eq!(attribute(&root.join("dir"), "trusted.overlay.redirect"), None);
    assert_eq!(attribute(&root.join("dir"), "trusted.mine").as_deref(), Some(&b"1"[..]));
    assert_eq!(attribute(&root.join("link"), "trusted.mine").as_deref(), Some(&b"2"[..]));
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let world = World::new();
    let archive = Tar::new()
        .file("a", b"one")
        .file("a", b"two")
        .directory("d")
        .file("d/inside", b"1")
        .directory("d")
        .directory("e/deep/er")
        .file("e", b"now a file")
        .file("f", b"x")
        .directory("f")
        .symlink("g", "a")
        .file("g", b"not through the link")
        .file("h", b"h")
        .hard_link("i", "h")
        .file("i", b"not through the other name")
        .hard_link("a", "h")
        .hard_link("a", "h")
        .end();
    let root = world.layer(&archive);
    assert_eq!(fs::read(root.join("a")).unwrap(), b"h");
    assert_eq!(fs::read(root.join("d/inside")).unwrap(), b"1");
    assert_eq!(fs::read(root.join("e")).unwrap(), b"now a file");
    assert!(root.join("f").is_dir());
    assert_eq!(fs::read(root.join("g")).unwrap(), b"not through the link");
    assert_eq!(fs::read(root.join("h")).unwrap(), b"h");
    world.store.empty_trash().unwrap();
}

#[test]
fn long_names_in_both_dialects() {
    let world = World::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let target = "t".repeat(300);
    let gnu = |flag, text: &str| {
        let data = format!("{text}\0");
        let size = data.len() as u64;
        (Header { size, ..Header::new(flag, "././@LongLink") }, data)
    };
    let (name_header, name) = gnu(b'L', &long);
    let (link_header, link) = gnu(b'K', &target);
    let archive = Tar::new()
        .entry(&name_header, name.as_bytes())
        .file("cut", b"gnu")
        .entry(&link_header, link.as_bytes())
        .symlink("link", "cut")
        .pax(&[("path", format!("{long}x").as_bytes()), ("mtime", b"12.5")])
        .file("cut", b"pax")
        .pax(&[("linkpath", target.as_bytes()), ("comment", b"hm")])
        .symlink("link2", "cut")
        .entry(&Header { size: 20, ..Header::new(b'g', "global") }, b"20 comment=whatever\n")
        .file("last", b"")
        .end();
    let root = world.layer(&archive);
    assert_eq!(fs::read(root.join(&long)).unwrap(), b"gnu");
    let pax = root.join(format!("{long}x"));
    assert_eq!(fs::read(&pax).unwrap(), b"pax");
    assert_eq!(pax.metadata().unwrap().mtime_nsec(), 500_000_000);
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new(&target));
    assert_eq!(fs::read_link(root.join("link2")).unwrap(), Path::new(&target));
}

#[test]
fn links_inside_the_layer_are_followed_inside_the_layer() {
    let world = World::new();
    let archive = Tar::new()
        .directory("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/a.so", b"a")
        .symlink("absolute", "/usr")
        .file("absolute/lib/b.so", b"b")
        .symlink("climbs", "../../../../../../../../usr")
        .file("climbs/c", b"c")
        .end();
    let root = world.layer(&archive);
    assert_eq!(fs::read(root.join("usr/lib/a.so")).unwrap(), b"a");
    assert_eq!(fs::read(root.join("usr/lib/b.so")).unwrap(), b"b");
    assert_eq!(fs::read(root.join("usr/c")).unwrap(), b"c");
    assert!(!Path::new("/usr/c").exists());
}

#[test]
fn a_layer_is_unpacked_once_also_by_several_at_a_time() {
    let world = World::new();
    let archive = Tar::new().file("file", &vec![7; 1 << 20]).end();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| world.unpack(&archive).unwrap());
        }
    });
    assert_eq!(world.store.layers().list().unwrap().len(), 1);
    world.store.sync().unwrap();
    world.store.empty_trash().unwrap();
    let again = world.store.layers().unpack(&mut std::io::empty(), &Digest::of(&archive));
    assert_eq!(again.unwrap().size, 1 << 20);
    let left = fs::read_dir(world.path().join("data/layers/partial")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn directories_are_closed_to_others() {
    let world = World::new();
    world.layer(&Tar::new().file("file", b"").end());
    world.store.snapshots().prepare_container("c1", &[], false).unwrap();
    let layout: &Layout = world.store.layout();
    for name in ["layers", "snapshots", "containers", "content", "trash"] {
        let mode = layout.data.join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o007, 0, "{name}");
    }
    assert_eq!(layout.data.metadata().unwrap().mode() & 0o007, 0);
}
