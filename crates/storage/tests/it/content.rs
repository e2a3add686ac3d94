//! Blobs: verified, resumed, refused.

use std::io::{ErrorKind, Read, Write};

use oci::Digest;
use storage::Error;

use crate::World;

#[test]
fn a_blob_is_there_once_it_is_whole() {
    let world = World::new();
    let content = world.store.content();
    let bytes = vec![7; 100_000];
    let digest = Digest::of(&bytes);
    assert!(!content.has(&digest));
    assert!(matches!(content.open(&digest), Err(Error::NotFound { .. })));
    let mut writer = content.writer(&digest, Some(100_000)).unwrap();
    writer.write_all(&bytes).unwrap();
    assert!(!content.has(&digest));
    writer.commit().unwrap();
    for _ in 0..2 {
        assert!(content.has(&digest));
        assert_eq!(content.size(&digest).unwrap(), 100_000);
        assert_eq!(content.read(&digest).unwrap(), bytes);
        assert_eq!(content.list().unwrap(), [(digest.clone(), 100_000)]);
        world.store.sync().unwrap();
    }
    assert!(world.path().join("data/content").join(digest.hex()).exists());
    assert_eq!(content.write(&bytes).unwrap(), digest);
}

#[test]
fn a_cut_download_is_resumed_with_its_hash() {
    let world = World::new();
    let content = world.store.content();
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    let mut offset = 0;
    while offset < bytes.len() {
        let mut writer = content.writer(&digest, Some(size)).unwrap();
        assert_eq!(writer.offset(), offset as u64);
        let end = bytes.len().min(offset + 300_001);
        writer.write_all(&bytes[offset..end]).unwrap();
        if end < bytes.len() {
            drop(writer);
        } else {
            writer.commit().unwrap();
        }
        offset = end;
    }
    let mut read = Vec::new();
    content.open(&digest).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == bytes);
}

#[test]
fn a_download_that_has_not_begun_leaves_nothing() {
    let world = World::new();
    let content = world.store.content();
    let before = world.files();
    let mut writer = content.writer(&Digest::of(b"bytes"), Some(5)).unwrap();
    writer.write_all(b"by").unwrap();
    writer.restart().unwrap();
    drop(writer);
    assert_eq!(world.files(), before);
    let empty = Digest::of(b"");
    content.writer(&empty, Some(0)).unwrap().commit().unwrap();
    assert!(content.has(&empty));
}

#[test]
fn what_is_wrong_is_refused() {
    let world = World::new();
    let content = world.store.content();
    let digest = Digest::of(b"right");
    let mut writer = content.writer(&digest, Some(5)).unwrap();
    writer.write_all(b"wrong").unwrap();
    assert!(matches!(writer.commit(), Err(Error::WrongDigest { .. })));
    assert_eq!(content.writer(&digest, None).unwrap().offset(), 0);

    let mut writer = content.writer(&digest, Some(5)).unwrap();
    assert_eq!(writer.write_all(b"right and more").unwrap_err().kind(), ErrorKind::InvalidData);
    writer.write_all(b"rig").unwrap();
    assert!(matches!(writer.commit(), Err(Error::WrongSize { have: 3, .. })));
    let mut writer = content.writer(&digest, Some(5)).unwrap();
    assert_eq!(writer.offset(), 3);
    writer.write_all(b"ht").unwrap();
    writer.commit().unwrap();

    let mut writer = content.writer(&Digest::of(b"x"), None).unwrap();
    writer.write_all(b"garbage").unwrap();
    writer.abandon();
    assert_eq!(content.writer(&Digest::of(b"x"), None).unwrap().offset(), 0);
    // What lies there is longer than it may be: from the beginning.
    let mut writer = content.writer(&Digest::of(b"y"), None).unwrap();
    writer.write_all(b"too long").unwrap();
    drop(writer);
    assert_eq!(content.writer(&Digest::of(b"y"), Some(1)).unwrap().offset(), 0);
}

#[test]
fn two_writers_of_one_blob() {
    let world = World::new();
    let content = world.store.content();
    let digest = Digest::of(b"both");
    let mut one = content.writer(&digest, Some(4)).unwrap();
    one.write_all(b"bo").unwrap();
    let mut two = content.writer(&digest, Some(4)).unwrap();
    assert_eq!(two.offset(), 0);
    two.write_all(b"both").unwrap();
    two.commit().unwrap();
    one.write_all(b"th").unwrap();
    one.commit().unwrap();
    assert_eq!(content.read(&digest).unwrap(), b"both");
    world.store.sync().unwrap();
    drop(content.writer(&digest, Some(4)).unwrap());
}

#[test]
fn a_blob_that_rots_is_noticed() {
    let world = World::new();
    let digest = world.store.content().write(b"fresh").unwrap();
    world.store.sync().unwrap();
    std::fs::write(world.path().join("data/content").join(digest.hex()), "mouldy").unwrap();
    assert!(matches!(world.store.content().read(&digest), Err(Error::WrongDigest { .. })));
}
