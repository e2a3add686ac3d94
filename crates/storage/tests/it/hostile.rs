//! Archives that try to get out, to fill memory, or make no sense. Each is refused as a whole:
//! nothing outside is touched, nothing is left.

use std::fs;
use std::path::{Path, PathBuf};

use oci::Digest;
use stdx::ErrorKind;
use storage::Error;

use crate::World;
use crate::archive::{Header, Tar, seal};

/// The bait lies beside the store, where a climbing path would find it.
fn refuse(archive: &[u8]) -> (Error, World) {
    let world = World::new();
    let bait = world.path().join("bait");
    fs::write(&bait, "bait").unwrap();
    let before = world.files();
    let error = world.unpack(archive).unwrap_err();
    assert!(matches!(error, Error::Layer { .. }), "{error}");
    assert_eq!(world.files(), before, "{}", stdx::chain(&error));
    assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
    assert!(!world.store.layers().has(&Digest::of(archive)));
    (error, world)
}

fn refused(archive: &[u8], word: &str) {
    let (error, _world) = refuse(archive);
    let text = stdx::chain(&error);
    assert!(text.contains(word), "`{text}` does not say `{word}`");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
}

#[test]
fn names_that_climb() {
    for name in ["../bait", "a/../../bait", "..", "./..", "/../../bait", "a/.."] {
        refused(&Tar::new().file("first", b"1").file(name, b"evil").end(), "`..`");
    }
    refused(&Tar::new().pax(&[("path", b"../../../bait")]).file("x", b"evil").end(), "`..`");
    refused(&Tar::new().directory("../../../../../../evil").end(), "`..`");
}

#[test]
fn names_that_are_no_names() {
    refused(&Tar::new().pax(&[("path", b"a\0b")]).file("x", b"").end(), "NUL");
    refused(&Tar::new().pax(&[("path", &[b'x'; 300])]).file("x", b"").end(), "too long");
    refused(&Tar::new().pax(&[("path", &b"d/".repeat(600))]).directory("x").end(), "too deep");
    refused(&Tar::new().pax(&[("path", &b"d/".repeat(3000))]).directory("x").end(), "too long");
    refused(&Tar::new().file("", b"evil").end(), "root");
    refused(&Tar::new().symlink("/", "/etc").end(), "root");
}

#[test]
fn whiteouts_that_climb() {
    for name in [".wh...", "a/.wh...", ".wh..", ".wh."] {
        refused(&Tar::new().file(name, b"").end(), "whiteout");
    }
    refused(&Tar::new().file(".wh.a/b", b"").end(), "whiteout");
    refused(&Tar::new().file("../.wh.bait", b"").end(), "`..`");
    refused(&Tar::new().file("../.wh..wh..opq", b"").end(), "`..`");
}

#[test]
fn links_to_the_outside_stay_inside() {
    let world = World::new();
    let bait = world.path().join("bait");
    fs::write(&bait, "bait").unwrap();
    let outside = world.path().to_str().unwrap().as_bytes().to_vec();
    // The directory the link names does not exist inside: there is nowhere to write.
    for target in [outside.clone(), b"../../../../../../../..".repeat(3)] {
        let archive = Tar::new().symlink("out", &target).file("out/bait", b"evil").end();
        drop(world.unpack(&archive));
        assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
        let archive = Tar::new().symlink("out", &target).file("out/.wh.bait", b"").end();
        drop(world.unpack(&archive));
        assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
    }
    let file = [&outside[..], b"/bait"].concat();
    // The link itself is replaced, not written through.
    let archive = Tar::new().symlink("bait", &file).file("bait", b"evil").end();
    world.layer(&archive);
    assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
    let archive = Tar::new().symlink("loop", "loop").file("loop/x", b"").end();
    assert!(world.unpack(&archive).is_err());
}

#[test]
fn hard_links_to_the_outside() {
    refused(&Tar::new().hard_link("x", "../bait").end(), "`..`");
    refused(&Tar::new().hard_link("x", "/etc/passwd").end(), "no file of this layer");
    refused(&Tar::new().hard_link("x", "/").end(), "root");
    refused(&Tar::new().symlink("e", "/etc").hard_link("x", "e/passwd").end(), "no file");
    refused(&Tar::new().directory("d").hard_link("x", "d").end(), "no file");
    refused(&Tar::new().hard_link("x", "x/y").end(), "no file");
    // A link to a link is a second name for the link, not for what it leads to.
    let world = World::new();
    let archive =
        Tar::new().symlink("l", "/etc/hostname").hard_link("m", "l").file("m", b"mine").end();
    let before = fs::read("/etc/hostname").ok();
    let root = world.layer(&archive);
    assert_eq!(fs::read(root.join("m")).unwrap(), b"mine");
    assert_eq!(fs::read("/etc/hostname").ok(), before);
}

#[test]
fn devices_are_not_written_to() {
    let world = World::new();
    // A device (here /dev/null's and a disk's numbers), then a file of its name.
    for device in [(1, 3), (254, 0)] {
        let archive = Tar::new()
            .node(b'4', "disk", device)
            .hard_link("disk2", "disk")
            .file("disk", b"evil")
            .file("disk2", b"evil")
            .end();
        let root = world.layer(&archive);
        for name in ["disk", "disk2"] {
            assert!(root.join(name).symlink_metadata().unwrap().is_file());
        }
    }
    let mut block = Header::new(b'3', "x").block();
    block[329..337].copy_from_slice(&[0xff; 8]);
    seal(&mut block);
    refused(&Tar::new().raw(&block).end(), "out of range");
}

#[test]
fn files_used_as_directories() {
    refused(&Tar::new().file("a", b"").file("a/b", b"").end(), "none");
    refused(&Tar::new().symlink("a", "missing").file("a/b", b"").end(), "");
    refused(&Tar::new().node(b'6', "a", (0, 0)).directory("a/b").end(), "none");
}

#[test]
fn headers_that_are_wrong() {
    let mut block = Header::new(b'0', "x").block();
    block[0] = b'y';
    refused(&Tar::new().raw(&block).end(), "checksum");
    refused(&Tar::new().raw(&[b'z'; 2048]).end(), "malformed header");
    refused(&Tar::new().entry(&Header::new(b'Q', "x"), b"").end(), "type");
    refused(&Tar::new().entry(&Header::new(b'V', "x"), b"").end(), "type");
    let mut block = Header::new(b'0', "x").block();
    block[124..136].copy_from_slice(b"99999999999\0");
    seal(&mut block);
    refused(&Tar::new().raw(&block).end(), "octal");
    let mut block = Header::new(b'0', "x").block();
    block[124..136].copy_from_slice(&[0xff; 12]);
    seal(&mut block);
    refused(&Tar::new().raw(&block).end(), "negative");
    let owner = Tar::new().pax(&[("uid", b"4294967295")]).file("x", b"").end();
    refused(&owner, "owner");
    refused(&Tar::new().pax(&[("size", b"-1")]).file("x", b"").end(), "decimal");
    refused(&Tar::new().pax(&[("path", b"x")]).end(), "extension without entry");
    refused(&Tar::new().symlink("x", "").end(), "nothing");
}

#[test]
fn archives_that_end_early() {
    let whole = Tar::new().file("a", &[1; 1000]).file("b", &[2; 1000]).cut();
    for length in [100, 511, 513, 1000, 1535, 1537, 2000, whole.len() - 30] {
        refused(&whole[..length], "truncated");
    }
    refused(&Tar::new().pax(&[("path", b"x")]).cut(), "truncated");
}

#[test]
fn sizes_beyond_everything() {
    for size in ["9223372036854775807", "18446744073709551615", "1000000000000000"] {
        let archive = Tar::new().pax(&[("size", size.as_bytes())]).file("x", b"data").end();
        let (error, _world) = refuse(&archive);
        let text = stdx::chain(&error);
        assert!(text.contains("truncated") || text.contains("out of range"), "{text}");
    }
    let huge = Header { size: 0o77_777_777_777, ..Header::new(b'x', "pax") };
    refused(&Tar::new().raw(&huge.block()).end(), "too long");
    let huge = Header { size: 1 << 20, ..Header::new(b'L', "long") };
    refused(&Tar::new().entry(&huge, &vec![b'x'; 1 << 20]).end(), "too long");
}

#[test]
fn sparse_maps_that_lie() {
    let sparse = |map: &[u8], size: &[u8]| {
        Tar::new()
            .pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)])
            .file("x", b"12345")
            .end()
    };
    refused(&sparse(b"0,6", b"10"), "sparse map");
    refused(&sparse(b"8,5", b"10"), "sparse map");
    refused(&sparse(b"5,3,0,2", b"10"), "sparse map");
    refused(&sparse(b"0,5", b"9999999999999999999"), "out of range");
    let version = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"9"),
        ])
        .file("x", b"99999999\n1\n")
        .end();
    refused(&version, "sparse map");
}

#[test]
fn the_wrong_archive() {
    let world = World::new();
    let archive = Tar::new().file("x", b"1").end();
    let want = Digest::of(b"another");
    let error = world.store.layers().unpack(&mut &archive[..], &want).unwrap_err();
    assert!(stdx::chain(&error).contains("wrong digest"), "{error}");
    assert!(!world.store.layers().has(&want));
    // What follows the archive's end counts as well.
    let longer = [&archive[..], b"trailing"].concat();
    world.layer(&longer);
    assert!(world.store.layers().unpack(&mut &longer[..], &Digest::of(&archive)).is_err());
}

/// A file system of its own, small, to be filled.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path, options: &str) -> Self {
        fs::create_dir(path).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str()).unwrap();
        Self { path: path.to_owned() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let gone = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
        assert!(gone.is_ok() || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_is_told_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    for options in ["size=40m,mode=755", "size=1g,nr_inodes=300,mode=755"] {
        let disk = SmallDisk::mount(&directory.path().join("disk"), options);
        let layout =
            storage::Layout { data: disk.path.join("data"), run: directory.path().join("run") };
        let store = storage::Store::open(layout).unwrap();
        let free = || rustix::fs::statvfs(&disk.path).map(|s| (s.f_bavail, s.f_ffree)).unwrap();
        let before = free();
        let mut tar = Tar::new();
        for number in 0..400 {
            tar = tar.file(format!("f{number}"), &vec![1; 128 << 10]);
        }
        // A bomb: 50 MB in a few kilobytes.
        let archive = tar.end();
        let bomb = zstd::encode_all(&archive[..], 3).unwrap();
        assert!(bomb.len() < 1 << 20);
        let error = store.layers().unpack(&mut &bomb[..], &Digest::of(&archive)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{}", stdx::chain(&error));
        assert!(stdx::chain(&error).contains("no space left"), "{}", stdx::chain(&error));
        assert!(error.hint().is_some());
        assert_eq!(free(), before);
        let error = store.content().writer(&Digest::of(b"x"), Some(1 << 40)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        drop((store, disk));
        fs::remove_dir(directory.path().join("disk")).unwrap();
    }
}

#[test]
fn random_damage_never_escapes() {
    let archive = Tar::new()
        .directory("d")
        .file("d/file", &[1; 700])
        .pax(&[("SCHILY.xattr.user.a", b"b"), ("mtime", b"1.5")])
        .symlink("link", "d")
        .hard_link("hard", "d/file")
        .file("link/through", b"x")
        .file("d/.wh.gone", b"")
        .end();
    let world = World::new();
    let bait = world.path().join("bait");
    fs::write(&bait, "bait").unwrap();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..400 {
        let mut damaged = archive.clone();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let position = usize::try_from(random >> 8).unwrap() % damaged.len();
            damaged[position] = random.to_le_bytes()[0];
            // A right checksum lets the damage through to the reader.
            let block = position / 512 * 512;
            if random & 1 == 0 {
                let block: &mut [u8; 512] = (&mut damaged[block..block + 512]).try_into().unwrap();
                seal(block);
            }
        }
        drop(world.unpack(&damaged));
    }
    assert_eq!(fs::read_to_string(&bait).unwrap(), "bait");
    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 3);
    assert_eq!(fs::read_dir(world.path().join("data/layers/partial")).unwrap().count(), 0);
}
