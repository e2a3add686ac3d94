//! Images that are spoiled, hostile or too big: a clear error, nothing left, and the next one works.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use testkit::{Brig, Registry, image};

use crate::BRIG;

/// Every entry below the places where an image lies, without what is there of an empty store.
pub(crate) fn stored(brig: &Brig) -> Vec<PathBuf> {
    let data = brig.root().join("data");
    let places = [
        "content",
        "content/pending",
        "content/partial",
        "layers",
        "layers/pending",
        "layers/partial",
    ];
    let mut found: Vec<PathBuf> = places
        .iter()
        .flat_map(|place| fs::read_dir(data.join(place)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            !["pending", "partial", "empty"].contains(&name.as_str())
        })
        .collect();
    found.sort();
    found
}

/// The largest blob of a registry's storage: the layer.
fn largest_blob(directory: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                directories.push(entry.path());
            } else {
                files.push((entry.metadata().unwrap().len(), entry.path()));
            }
        }
    }
    files.into_iter().max().unwrap().1
}

#[test]
fn a_spoiled_layer_in_the_registry() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    registry.push(&image::busybox(directory.path()), "library/spoiled:latest");
    let brig = Brig::new(BRIG);
    brig.mirror_docker_io(registry.address());
    drop(brig.ok(&["version"]));
    let before = stored(&brig);

    let blob = largest_blob(&registry.storage());
    let good = fs::read(&blob).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0xff;
    fs::write(&blob, &bad).unwrap();
    let text = brig.fails(1, &["pull", "spoiled"]);
    assert!(text.contains("digest") || text.contains("corrupt"), "{text}");
    assert_eq!(brig.ok(&["images", "-q"]), "");
    assert_eq!(stored(&brig), before, "nothing of it is kept");

    fs::write(&blob, &good).unwrap();
    assert_eq!(brig.ok(&["run", "--rm", "spoiled", "echo", "whole"]), "whole");
}

#[test]
fn a_hostile_archive() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    let archive = directory.path().join("image.tar");
    fs::write(&archive, hostile(&victim)).unwrap();
    let text = brig.fails(1, &["load", "-i", &archive.to_string_lossy()]);
    assert!(!text.trim().is_empty() && !text.contains("panicked"), "{text}");
    assert!(!victim.exists(), "nothing was written outside");
    assert_eq!(brig.ok(&["images", "-q"]), "");
    assert_eq!(stored(&brig), before, "nothing of it is kept");
    brig.load_busybox();
    assert_eq!(brig.ok(&["run", "--rm", "busybox", "echo", "well"]), "well");
}

/// An archive as `docker save` writes it, whose layer climbs out by a link and by `..`.
fn hostile(victim: &Path) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    let parent = victim.parent().unwrap();
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    layer.append_link(&mut link, "out", parent).unwrap();
    append(&mut layer, "out/victim", b"through a link");
    let up = format!("{}{}", "../".repeat(16), victim.strip_prefix("/").unwrap().display());
    append(&mut layer, &up, b"upwards");
    let layer = layer.into_inner().unwrap();
    let digest = oci::Digest::of(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/x"]}},"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#
    );
    let manifest =
        r#"[{"Config":"config.json","RepoTags":["hostile:latest"],"Layers":["layer.tar"]}]"#;
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "config.json", config.as_bytes());
    append(&mut archive, "layer.tar", &layer);
    append(&mut archive, "manifest.json", manifest.as_bytes());
    archive.into_inner().unwrap()
}

/// Appends a file under any name at all: the library's own setters refuse `..`.
fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(bytes.len()).unwrap());
    header.set_mode(0o644);
    (&mut header.as_old_mut().name[..]).write_all(name.as_bytes()).unwrap();
    header.set_cksum();
    archive.append(&header, bytes).unwrap();
}

#[test]
fn no_space_for_an_image() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    image::busybox_root(&root);
    fs::write(root.join("big"), incompressible(24 << 20)).unwrap();
    let settings = image::Settings::default();
    let layout = image::Layout::write(&directory.path().join("layout"), &[&root], &settings);
    registry.push(&layout, "library/big:latest");
    let brig = Brig::new(BRIG);
    brig.mirror_docker_io(registry.address());
    let data = brig.root().join("data");
    fs::create_dir_all(&data).unwrap();
    let _small = Small::mount(&data);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    let text = brig.fails(1, &["pull", "big"]);
    assert!(text.to_lowercase().contains("no space left on device"), "{text}");
    assert_eq!(brig.ok(&["images", "-q"]), "");
    assert_eq!(stored(&brig), before, "nothing of it is kept");
    assert!(brig.ok(&["run", "--rm", "hello"]).to_lowercase().contains("hello"));
    drop(brig.ok(&["system", "shutdown", "--all"]));
}

/// Makes empty files until there is no room for another.
fn fill(directory: &Path) -> PathBuf {
    let full = directory.join("full");
    fs::create_dir(&full).unwrap();
    let mut files = (0..).map(|number: u32| fs::write(full.join(number.to_string()), ""));
    let error = files.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    full
}

#[test]
fn no_space_for_a_container() {
    let brig = Brig::new(BRIG);
    let (data, run) = (brig.root().join("data"), brig.root().join("run"));
    let mounts = [&data, &run].map(|directory| {
        fs::create_dir_all(directory).unwrap();
        Small::mount(directory)
    });
    brig.load_busybox();
    let create = ["create", "--name", "one", "busybox", "echo", "room"];
    drop(brig.ok(&["run", "--rm", "busybox", "true"]));

    let full = fill(&data);
    let text = brig.fails(125, &create);
    assert!(text.to_lowercase().contains("no space left on device"), "{text}");
    assert_eq!(brig.ok(&["ps", "-aq"]), "", "nothing of it is kept");
    fs::remove_dir_all(full).unwrap();
    drop(brig.ok(&create));

    let full = fill(&run);
    let text = brig.fails(1, &["start", "-a", "one"]);
    assert!(text.to_lowercase().contains("no space left on device"), "{text}");
    fs::remove_dir_all(full).unwrap();
    assert_eq!(brig.ok(&["start", "-a", "one"]), "room");
    drop(brig.ok(&["system", "shutdown", "--all"]));
    drop(mounts);
}

/// Numbers that no compression makes smaller, the same each time.
pub(crate) fn incompressible(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

/// A file system of a few MiB and files, taken away on drop.
struct Small(PathBuf);

impl Small {
    fn mount(directory: &Path) -> Self {
        let options = Some(c"size=16m,nr_inodes=1000");
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("small", directory, "tmpfs", flags, options).unwrap();
        Self(directory.to_path_buf())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(&self.0, detach).unwrap();
    }
}
