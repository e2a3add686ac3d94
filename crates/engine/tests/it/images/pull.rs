//! Pulling.

use std::fs;
use std::path::Path;

use engine::images::{ImageEvent, LayerStatus};
use oci::Reference;
use stdx::ErrorKind;
use testkit::Registry;
use testkit::image::{Layout, Settings};

use super::{World, count, listen};

/// An image of `layers` layers with `size` bytes of noise in each.
pub(crate) fn layout(directory: &Path, layers: usize, size: usize) -> Layout {
    let mut state = 88_172_645_463_325_252_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    let roots: Vec<_> = (0..layers)
        .map(|number| {
            let root = directory.join(format!("root{number}"));
            fs::create_dir_all(&root).unwrap();
            let bytes: Vec<u8> = std::iter::repeat_with(&mut noise).take(size).collect();
            fs::write(root.join(format!("noise{number}")), bytes).unwrap();
            fs::write(root.join("top"), number.to_string()).unwrap();
            root
        })
        .collect();
    let roots: Vec<&Path> = roots.iter().map(std::path::PathBuf::as_path).collect();
    let settings = Settings { command: vec!["sh".to_owned()], ..Settings::default() };
    Layout::write(&directory.join("layout"), &roots, &settings)
}

fn pulled(events: &[ImageEvent]) -> (oci::Digest, oci::Digest, bool) {
    match events.last() {
        Some(ImageEvent::Pulled { digest, image, changed, .. }) => {
            (digest.clone(), image.clone(), *changed)
        }
        other => panic!("no end: {other:?}"),
    }
}

#[tokio::test]
async fn an_image_is_pulled_once() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&layout(world.path(), 6, 50_000), "team/app:1");
    let name = format!("{}/team/app:1", registry.address());

    let (events, end) = listen(world.pull(&name)).await;
    end.unwrap();
    let (digest, id, changed) = pulled(&events);
    assert!(changed);
    assert_eq!(count(&events, LayerStatus::PullingFsLayer), 6);
    assert_eq!(count(&events, LayerStatus::PullComplete), 6);
    assert!(matches!(&events[0], ImageEvent::Resolving { .. }));

    let image = world.images.inspect(&name).await.unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.tags[0].to_string(), name);
    assert_eq!(image.digests[0].digest(), Some(&digest));
    assert_eq!(image.config.config.cmd, ["sh"]);
    assert!(image.size >= 300_000, "{}", image.size);
    assert_eq!(world.read(&image, "top").unwrap(), "5");

    let (events, end) = listen(world.pull(&name)).await;
    end.unwrap();
    assert!(!pulled(&events).2, "nothing has changed");
    assert_eq!(count(&events, LayerStatus::AlreadyExists), 6);
    let history = world.images.history(&name).await.unwrap();
    assert_eq!(history.len(), 6);
    assert!(history[0].size >= 50_000 && history[0].id.is_some());
}

#[tokio::test]
async fn two_pulls_of_one_image_share_the_work() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&layout(world.path(), 3, 100_000), "app:1");
    let name = format!("{}/app:1", registry.address());
    let (one, two) = (world.pull(&name), world.pull(&name));
    let ((_, first), (events, second)) = tokio::join!(listen(one), listen(two));
    first.unwrap();
    second.unwrap();
    assert!(pulled(&events).2);
    assert_eq!(count(&events, LayerStatus::PullComplete), 3);
}

#[tokio::test]
async fn images_share_layers() {
    let world = World::new();
    let registry = Registry::start();
    let layout = layout(world.path(), 3, 100_000);
    registry.push(&layout, "app:1");
    registry.push(&layout, "other:1");
    let names = ["app:1", "other:1"].map(|name| format!("{}/{name}", registry.address()));
    let ((one, first), (two, second)) =
        tokio::join!(listen(world.pull(&names[0])), listen(world.pull(&names[1])));
    first.unwrap();
    second.unwrap();
    let complete = count(&one, LayerStatus::PullComplete) + count(&two, LayerStatus::PullComplete);
    assert_eq!(complete, 3, "each layer was unpacked once");
    let list = world.images.list(&engine::images::ImageFilter::default()).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].tags.len(), 2);
}

#[tokio::test]
async fn errors_are_the_registrys_own_words() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&layout(world.path(), 1, 10), "app:1");
    let name = format!("{}/app:nope", registry.address());
    let (_, end) = listen(world.pull(&name)).await;
    let error = end.unwrap_err();
    assert_eq!(error.to_string(), format!("manifest for {name} not found: manifest unknown"));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = world.images.inspect("nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "No such image: nothing:latest");
}

/// The file of a layer's blob in the registry's storage.
fn blob_file(registry: &Registry, layout: &Layout, size_at_least: u64) -> std::path::PathBuf {
    let blobs = fs::read_dir(layout.path().join("blobs/sha256")).unwrap();
    let large = blobs
        .map(Result::unwrap)
        .find(|blob| blob.metadata().unwrap().len() >= size_at_least)
        .unwrap();
    let hex = large.file_name().into_string().unwrap();
    registry
        .storage()
        .join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", hex.get(..2).unwrap()))
}

#[tokio::test]
async fn a_spoiled_layer_is_refused_and_leaves_nothing() {
    let world = World::new();
    let registry = Registry::start();
    let layout = layout(world.path(), 1, 300_000);
    registry.push(&layout, "app:1");
    let file = blob_file(&registry, &layout, 100_000);
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[150_000] ^= 1;
    fs::write(&file, &bad).unwrap();
    let name = format!("{}/app:1", registry.address());
    let (_, end) = listen(world.pull(&name)).await;
    let error = end.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("filesystem layer verification failed for digest sha256:"), "{text}");
    assert!(world.images.inspect(&name).await.is_err());
    assert!(world.store.layers().list().unwrap().is_empty());

    fs::write(&file, &good).unwrap();
    let (_, end) = listen(world.pull(&name)).await;
    end.unwrap();
}

#[tokio::test]
async fn a_pull_given_up_is_resumed() {
    let world = World::new();
    let registry = Registry::start();
    let layout = layout(world.path(), 1, 6_000_000);
    registry.push(&layout, "app:1");
    let name = format!("{}/app:1", registry.address());
    let mut progress = world.pull(&name);
    loop {
        let event = progress.next().await.unwrap().unwrap();
        if matches!(event, ImageEvent::Layer { status: LayerStatus::Downloading, .. }) {
            break;
        }
    }
    drop(progress);
    // Another one joins at once: it waits for the first to let go of the layer.
    let (events, end) = listen(world.pull(&name)).await;
    end.unwrap();
    assert!(pulled(&events).2);
    let image = world.images.inspect(&name).await.unwrap();
    assert_eq!(world.read(&image, "top").unwrap(), "0");
}

#[tokio::test]
async fn what_an_earlier_daemon_left_is_gone_on_with() {
    let world = World::new();
    let registry = Registry::start();
    let layout = layout(world.path(), 1, 1_000_000);
    registry.push(&layout, "app:1");
    let file = blob_file(&registry, &layout, 500_000);
    let bytes = fs::read(&file).unwrap();
    let digest = oci::Digest::of(&bytes);
    for spoiled in [false, true] {
        let mut writer = world.store.content().writer(&digest, Some(bytes.len() as u64)).unwrap();
        writer.restart().unwrap();
        let mut half = bytes[..bytes.len() / 2].to_vec();
        half[1000] ^= u8::from(spoiled);
        std::io::Write::write_all(&mut writer, &half).unwrap();
        drop(writer);
        let name = format!("{}/app:1", registry.address());
        let (events, end) = listen(world.pull(&name)).await;
        end.unwrap();
        assert_eq!(count(&events, LayerStatus::PullComplete), 1);
        let options = engine::images::RemoveOptions::default();
        world.images.remove(&name, options, &[]).await.unwrap();
        assert!(!world.store.content().has(&digest));
    }
}

#[tokio::test]
async fn closing_ends_pulls() {
    let world = World::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", silent.local_addr().unwrap());
    let progress = world.pull(&name);
    let accepted = tokio::task::spawn_blocking(move || silent.accept().unwrap());
    let _under_way = accepted.await.unwrap();
    world.images.shutdown().await;
    let (_, end) = listen(progress).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn hello_needs_no_network() {
    let world = World::new();
    let (events, end) = listen(world.pull("hello")).await;
    end.unwrap();
    let (digest, id, changed) = pulled(&events);
    assert!(changed);
    let image = world.images.inspect("hello").await.unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.config.config.entrypoint, ["/hello"]);
    // As process 1 it would ignore signals: it asks for an init.
    let labels = &image.config.config.labels;
    assert_eq!(labels.get("io.brig.init").map(String::as_str), Some("true"));
    let lower = world.store.layers().lower(&image.diff_ids()[0]).unwrap();
    let storage::Lower::Directory(root) = lower else { panic!("{lower:?}") };
    let output = stdx::process::output(&mut stdx::process::command(root.join("hello"))).unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("Hello from brig!"));

    let (events, end) = listen(world.pull("docker.io/library/hello:latest")).await;
    end.unwrap();
    assert_eq!(pulled(&events), (digest, id, false));
}

#[tokio::test]
async fn an_image_for_another_platform_is_refused_when_asked_for_by_name() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&layout(world.path(), 1, 10), "app:1");
    let name = format!("{}/app:1", registry.address());
    let progress = world.images.pull(engine::images::PullRequest {
        reference: Reference::parse(&name).unwrap(),
        platform: Some(oci::Platform::new("linux", "s390x", None)),
        credentials: None,
    });
    let (_, end) = listen(progress).await;
    let text = end.unwrap_err().to_string();
    assert!(text.contains("does not match the specified platform (linux/s390x)"), "{text}");
}

#[tokio::test]
async fn a_layer_that_a_mirror_has_spoiled_comes_from_the_origin() {
    let directory = tempfile::tempdir().unwrap();
    let layout = layout(directory.path(), 1, 300_000);
    let (origin, mirror) = (Registry::start(), Registry::start());
    for registry in [&origin, &mirror] {
        registry.push(&layout, "app:1");
    }
    let file = blob_file(&mirror, &layout, 100_000);
    let good = fs::read(&file).unwrap();
    // In the middle, where the archive still unpacks, and in its head, where it does not.
    for place in [150_000, 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&file, &bad).unwrap();
        let config = registry::Config::new()
            .with_mirror(origin.address(), &format!("http://{}", mirror.address()));
        let world = World::with(config);
        let name = format!("{}/app:1", origin.address());
        listen(world.pull(&name)).await.1.unwrap();
        let image = world.images.inspect(&name).await.unwrap();
        assert_eq!(world.read(&image, "top").unwrap(), "0");
    }
}

#[tokio::test]
async fn a_spoiled_layer_is_named_when_the_origin_cannot_help() {
    let directory = tempfile::tempdir().unwrap();
    let layout = layout(directory.path(), 1, 300_000);
    let mirror = Registry::start();
    mirror.push(&layout, "app:1");
    let file = blob_file(&mirror, &layout, 100_000);
    let mut bad = fs::read(&file).unwrap();
    bad[150_000] ^= 1;
    fs::write(&file, &bad).unwrap();
    let origin = format!("127.0.0.1:{}", testkit::process::free_port());
    let address = format!("http://{}", mirror.address());
    let world = World::with(registry::Config::new().with_mirror(&origin, &address));
    let error = listen(world.pull(&format!("{origin}/app:1"))).await.1.unwrap_err().to_string();
    assert!(
        error.starts_with("filesystem layer verification failed for digest sha256:"),
        "{error}"
    );
}

/// Puts a document into a layout; its descriptor.
fn add(layout: &Path, media_type: &str, document: &serde_json::Value) -> serde_json::Value {
    let bytes = document.to_string().into_bytes();
    let digest = oci::Digest::of(&bytes);
    fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
    serde_json::json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
}

fn document(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Makes a layout's image one of two in an index: the other is for another platform.
fn for_two_platforms(layout: &Path) {
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let mut ours = document(&layout.join("index.json"))["manifests"][0].clone();
    let hex = |descriptor: &serde_json::Value| {
        descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    let blobs = layout.join("blobs/sha256");
    let mut manifest = document(&blobs.join(hex(&ours)));
    let mut config = document(&blobs.join(hex(&manifest["config"])));
    config["architecture"] = "s390x".into();
    config["config"]["Cmd"] = serde_json::json!(["other"]);
    manifest["config"] = add(layout, "application/vnd.oci.image.config.v1+json", &config);
    let mut theirs = add(layout, MANIFEST, &manifest);
    theirs["platform"] = serde_json::json!({"os": "linux", "architecture": "s390x"});
    ours["annotations"] = serde_json::json!({"note": "ours"});
    let manifests = [theirs, ours];
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = add(layout, INDEX, &index);
    let top = serde_json::json!({"schemaVersion": 2, "manifests": [index]});
    fs::write(layout.join("index.json"), top.to_string()).unwrap();
}

#[tokio::test]
async fn an_index_gives_the_image_of_this_platform() {
    let world = World::new();
    let registry = Registry::start();
    let layout = layout(world.path(), 2, 1000);
    for_two_platforms(layout.path());
    let name = format!("{}/app:1", registry.address());
    let mut skopeo = stdx::process::command("skopeo");
    skopeo.args(["copy", "--all", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
    skopeo.arg(format!("oci:{}", layout.path().display())).arg(format!("docker://{name}"));
    stdx::process::output(&mut skopeo).unwrap();

    let (events, end) = listen(world.pull(&name)).await;
    end.unwrap();
    let (target, id, _) = pulled(&events);
    let image = world.images.inspect(&name).await.unwrap();
    assert_eq!((image.id, image.config.config.cmd), (id.clone(), vec!["sh".to_owned()]));
    // The index stays, so that the next pull need not ask for it.
    world.images.collect_garbage().await.unwrap();
    assert!(world.store.content().has(&target));
    let (events, end) = listen(world.pull(&name)).await;
    end.unwrap();
    assert!(!pulled(&events).2, "nothing has changed");

    let other = world.images.pull(engine::images::PullRequest {
        reference: Reference::parse(&name).unwrap(),
        platform: Some(oci::Platform::new("linux", "s390x", None)),
        credentials: None,
    });
    let (events, end) = listen(other).await;
    end.unwrap();
    let (same, other, _) = pulled(&events);
    assert_eq!(same, target);
    assert_ne!(other, id);
}

/// A registry of one layout that answers for a layer only while another one is asked for too.
struct Paired {
    address: String,
    alone: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Paired {
    fn start(layout: &Path) -> Self {
        use std::io::{BufRead, BufReader, Write};
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::sync::{Arc, Condvar, Mutex};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (alone, asked) =
            (Arc::<AtomicUsize>::default(), Arc::new((Mutex::new(0), Condvar::new())));
        let (layout, lonely) = (layout.to_path_buf(), Arc::clone(&alone));
        let manifest = document(&layout.join("index.json"))["manifests"][0].clone();
        let manifest = manifest["digest"].as_str().unwrap().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, layout, manifest) =
                    (stream.unwrap(), layout.clone(), manifest.clone());
                let (lonely, asked) = (Arc::clone(&lonely), Arc::clone(&asked));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let head =
                        lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty());
                    let Some(first) = head.collect::<Vec<_>>().into_iter().next() else { return };
                    let is_manifest = first.contains("/manifests/");
                    let digest = first.split("sha256:").nth(1).and_then(|rest| rest.get(..64));
                    let digest = digest.unwrap_or_else(|| manifest.trim_start_matches("sha256:"));
                    let Ok(bytes) = fs::read(layout.join("blobs/sha256").join(digest)) else {
                        return;
                    };
                    if bytes.starts_with(&[0x1f, 0x8b]) {
                        let (count, changed) = &*asked;
                        let mut count = count.lock().unwrap();
                        *count += 1;
                        changed.notify_all();
                        let limit = std::time::Duration::from_secs(20);
                        let (_count, waited) =
                            changed.wait_timeout_while(count, limit, |count| *count < 2).unwrap();
                        lonely.fetch_add(usize::from(waited.timed_out()), Ordering::SeqCst);
                    }
                    let kind = if is_manifest {
                        "application/vnd.oci.image.manifest.v1+json"
                    } else {
                        "x/y"
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                        bytes.len()
                    );
                    drop(stream.write_all(head.as_bytes()));
                    if !first.starts_with("HEAD") {
                        drop(stream.write_all(&bytes));
                    }
                });
            }
        });
        Self { address, alone }
    }
}

#[tokio::test]
async fn layers_are_fetched_at_the_same_time() {
    let world = World::new();
    let layout = layout(world.path(), 2, 1000);
    let server = Paired::start(layout.path());
    listen(world.pull(&format!("{}/app:1", server.address))).await.1.unwrap();
    assert_eq!(server.alone.load(std::sync::atomic::Ordering::SeqCst), 0);
}
