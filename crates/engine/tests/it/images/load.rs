//! Loading archives.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::images::ImageEvent;
use stdx::ErrorKind;

use super::pull::layout;
use super::{World, listen};

fn skopeo(layout: &Path, target: &str) {
    let source = format!("oci:{}", layout.display());
    let mut command = stdx::process::command("skopeo");
    command.args(["copy", "--quiet", "--insecure-policy", &source, target]);
    stdx::process::output(&mut command).unwrap();
}

async fn load(world: &World, file: &Path) -> (Vec<Option<String>>, engine::Result<()>) {
    let archive = Box::new(File::open(file).unwrap());
    let (events, end) = listen(world.images.load(archive)).await;
    let names = events.into_iter().filter_map(|event| match event {
        ImageEvent::Loaded { reference, .. } => Some(reference.map(|name| name.to_string())),
        _ => None,
    });
    (names.collect(), end)
}

#[tokio::test]
async fn an_archive_in_dockers_form() {
    let world = World::new();
    let layout = layout(world.path(), 3, 40_000);
    let file = world.path().join("a.tar");
    skopeo(layout.path(), &format!("docker-archive:{}:team/app:1", file.display()));
    let (names, end) = load(&world, &file).await;
    end.unwrap();
    assert_eq!(names, [Some("docker.io/team/app:1".to_owned())]);
    let image = world.images.inspect("team/app:1").await.unwrap();
    assert_eq!(image.config.config.cmd, ["sh"]);
    assert_eq!(world.read(&image, "top").unwrap(), "2");
    assert_eq!(image.chain.len(), 3);
}

#[tokio::test]
async fn a_layout_as_an_archive_plain_and_compressed() {
    let layout_directory = tempfile::tempdir().unwrap();
    let layout = layout(layout_directory.path(), 2, 40_000);
    let plain = layout_directory.path().join("a.tar");
    skopeo(layout.path(), &format!("oci-archive:{}:docker.io/team/app:2", plain.display()));
    stdx::process::output(stdx::process::command("gzip").arg("-k").arg(&plain)).unwrap();
    for file in [plain.clone(), plain.with_extension("tar.gz")] {
        let world = World::new();
        let (names, end) = load(&world, &file).await;
        end.unwrap();
        assert_eq!(names, [Some("docker.io/team/app:2".to_owned())]);
        let image = world.images.inspect("team/app:2").await.unwrap();
        assert_eq!(world.read(&image, "top").unwrap(), "1");
    }
}

/// As old `docker save` writes it: `<id>/layer.tar`, a link for a layer that comes twice, and the
/// explaining document last.
#[tokio::test]
async fn an_archive_of_an_older_docker() {
    let world = World::new();
    let directory = world.path().join("old");
    fs::create_dir_all(directory.join("one")).unwrap();
    fs::create_dir_all(directory.join("two")).unwrap();
    let root = world.path().join("root");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    let layer = directory.join("one/layer.tar");
    let mut tar = stdx::process::command("tar");
    stdx::process::output(tar.arg("-C").arg(&root).arg("-cf").arg(&layer).arg("file")).unwrap();
    std::os::unix::fs::symlink("../one/layer.tar", directory.join("two/layer.tar")).unwrap();
    let diff_id = oci::Digest::of(&fs::read(&layer).unwrap());
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/bin/true"]}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}","{diff_id}"]}}}}"#
    );
    let id = oci::Digest::of(config.as_bytes());
    fs::write(directory.join(format!("{}.json", id.hex())), &config).unwrap();
    let manifest = format!(
        r#"[{{"Config":"{}.json","RepoTags":["old:1","old:2"],"Layers":["one/layer.tar","two/layer.tar"]}}]"#,
        id.hex()
    );
    fs::write(directory.join("manifest.json"), manifest).unwrap();
    let file = world.path().join("old.tar");
    let mut tar = stdx::process::command("tar");
    let config_name = format!("{}.json", id.hex());
    let parts = ["one/layer.tar", "two/layer.tar", &config_name, "manifest.json"];
    stdx::process::output(tar.arg("-C").arg(&directory).arg("-cf").arg(&file).args(parts)).unwrap();
    let (names, end) = load(&world, &file).await;
    end.unwrap();
    assert_eq!(names.len(), 2);
    let image = world.images.inspect("old:2").await.unwrap();
    assert_eq!(image.id, id);
    assert_eq!(world.read(&image, "file").unwrap(), "content");
}

#[tokio::test]
async fn what_is_no_image_archive_is_refused() {
    let world = World::new();
    let file = world.path().join("bad.tar");
    let cases: [(&[u8], &str); 3] = [
        (b"", "neither manifest.json nor index.json"),
        (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], "invalid image archive"),
        (&[b'x'; 2000], "invalid image archive"),
    ];
    for (bytes, expected) in cases {
        fs::write(&file, bytes).unwrap();
        let (_, end) = load(&world, &file).await;
        let error = end.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_truncated_archive_is_refused() {
    let world = World::new();
    let layout = layout(world.path(), 2, 40_000);
    let file = world.path().join("a.tar");
    skopeo(layout.path(), &format!("docker-archive:{}:app:1", file.display()));
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (_, end) = load(&world, &file).await;
    end.unwrap_err();
    assert!(world.images.inspect("app:1").await.is_err());
}

/// A stream that says the same for ever.
struct Endless {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        self.at = (self.at + count) % self.bytes.len();
        Ok(count)
    }
}

fn entry(path: &str, kind: tar::EntryType, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    if target.is_empty() {
        builder.append_data(&mut header, path, std::io::empty()).unwrap();
    } else {
        builder.append_link(&mut header, path, target).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    // Without the end of the archive.
    bytes.truncate(bytes.len() - 1024);
    bytes
}

#[tokio::test]
async fn an_endless_archive_is_refused() {
    let world = World::new();
    let long = format!("{}x", "directory/".repeat(400));
    for bytes in [
        entry(&long, tar::EntryType::Symlink, &long),
        entry("repositories", tar::EntryType::Regular, ""),
        entry(&format!("{}.tar", "y".repeat(4000)), tar::EntryType::Regular, ""),
    ] {
        let archive = Box::new(Endless { bytes, at: 0 });
        let error = listen(world.images.load(archive)).await.1.unwrap_err();
        assert!(error.to_string().contains("too many entries"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let too_long = entry(&"z".repeat(5000), tar::EntryType::Regular, "");
    let archive = Box::new(Endless { bytes: too_long, at: 0 });
    let error = listen(world.images.load(archive)).await.1.unwrap_err();
    assert!(stdx::chain(&error).contains("too long"), "{error}");
}

/// How many files below a directory this process has open, deleted ones too.
fn open_below(directory: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(directory)).count()
}

/// Notes how many files are open when the archive ends.
struct Watching {
    archive: std::io::Cursor<Vec<u8>>,
    directory: PathBuf,
    seen: std::sync::mpsc::Sender<usize>,
}

impl Read for Watching {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let count = self.archive.read(space)?;
        if count == 0 {
            self.seen.send(open_below(&self.directory)).unwrap();
        }
        Ok(count)
    }
}

#[tokio::test]
async fn nameless_layers_take_one_descriptor() {
    let world = World::new();
    let entries = (0..200).map(|n| entry(&format!("{n}.tar"), tar::EntryType::Regular, ""));
    let archive = std::io::Cursor::new(entries.flatten().collect());
    let store = world.path().join("root/data/content");
    let (seen, open) = std::sync::mpsc::channel();
    let watching = Watching { archive, directory: store, seen };
    listen(world.images.load(Box::new(watching))).await.1.unwrap_err();
    assert_eq!(open.recv().unwrap(), 1);
}

#[tokio::test]
async fn a_reader_that_panics_ends_the_load() {
    struct Panicking;
    impl Read for Panicking {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("for the test");
        }
    }
    let world = World::new();
    let error = listen(world.images.load(Box::new(Panicking))).await.1.unwrap_err();
    assert_eq!(error.to_string(), "load of archive ended unexpectedly");
}

#[tokio::test]
async fn what_a_failed_load_left_is_collected() {
    let world = World::new();
    let layout = layout(world.path(), 2, 40_000);
    let file = world.path().join("a.tar");
    skopeo(layout.path(), &format!("oci-archive:{}:docker.io/team/app:2", file.display()));
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 10_000]).unwrap();
    load(&world, &file).await.1.unwrap_err();
    assert!(!world.store.content().list().unwrap().is_empty());
    assert!(world.images.collect_garbage().await.unwrap() > 0);
    assert!(world.store.content().list().unwrap().is_empty());
    assert!(world.store.layers().list().unwrap().is_empty());
}
