//! Images and their names.

use oci::image::ImageConfig;
use oci::manifest::{Descriptor, OCI_MANIFEST};
use oci::{Digest, Reference};
use storage::{Error, ImageRecord, LayerRecord, Store};

use crate::World;
use crate::archive::Tar;

/// An image of one layer with one file.
pub(crate) fn make(store: &Store, content: &str, names: &[&str]) -> ImageRecord {
    let archive = Tar::new().file("file", content.as_bytes()).end();
    let blob = zstd::encode_all(&archive[..], 1).unwrap();
    let diff_id = Digest::of(&archive);
    let layer = store.layers().unpack(&mut &blob[..], &diff_id).unwrap();
    store.content().write(&blob).unwrap();
    let text = format!(r#"{{"os":"linux","architecture":"amd64","author":"{content}"}}"#);
    let manifest = format!("manifest of {content}");
    store.content().write(manifest.as_bytes()).unwrap();
    ImageRecord {
        id: store.content().write(text.as_bytes()).unwrap(),
        manifest: Descriptor::of(OCI_MANIFEST, manifest.as_bytes()),
        config: ImageConfig::parse(text.as_bytes()).unwrap(),
        layers: vec![LayerRecord { diff_id, blob: Some(Descriptor::of("layer", &blob)) }],
        size: layer.size,
        stored_at: "2026-01-01T00:00:00Z".to_owned(),
        names: names.iter().map(|name| Reference::parse(name).unwrap()).collect(),
    }
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[test]
fn an_image_is_found_by_each_of_its_names() {
    let world = World::new();
    let images = world.store.images();
    let mut image = make(&world.store, "one", &["alpine:3", "alpine"]);
    let digest = image.manifest.digest.clone();
    image.names.push(name("alpine").with_digest(digest.clone()));
    images.put(&image).unwrap();
    let id = image.id.as_str().to_owned();
    for text in [
        "alpine",
        "alpine:3",
        "docker.io/library/alpine:latest",
        &format!("alpine@{digest}"),
        &format!("alpine:whatever@{digest}"),
        &id,
        image.id.hex(),
        image.id.short(),
        &id[..12],
    ] {
        let found = images.resolve(text).unwrap();
        assert_eq!(found.id, image.id, "{text}");
        assert_eq!(found.names.len(), 3);
    }
    for text in ["alpine:4", "", "zz", "sha256:", "sha256:ffffffffffff", "../x"] {
        assert!(matches!(images.resolve(text), Err(Error::NotFound { .. })), "{text}");
    }
    // Durable and whole: nothing is pending any more.
    for place in ["content", "layers"] {
        let pending = world.path().join("data").join(place).join("pending");
        assert_eq!(std::fs::read_dir(pending).unwrap().count(), 0);
    }
}

#[test]
fn an_ambiguous_beginning_is_told() {
    let world = World::new();
    let images = world.store.images();
    let mut first_digits = std::collections::HashMap::new();
    for number in 0..17 {
        let image = make(&world.store, &number.to_string(), &[]);
        images.put(&image).unwrap();
        *first_digits.entry(image.id.hex()[..1].to_owned()).or_insert(0) += 1;
    }
    let (digit, count) = first_digits.into_iter().find(|(_, count)| *count > 1).unwrap();
    let error = images.resolve(&digit).unwrap_err();
    assert!(matches!(error, Error::Ambiguous { count: told, .. } if told == count), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn an_image_goes_with_its_last_name() {
    let world = World::new();
    let images = world.store.images();
    let mut image = make(&world.store, "one", &["app:1", "app:2", "other:1"]);
    image.names.push(name("app").with_digest(image.manifest.digest.clone()));
    images.put(&image).unwrap();
    let untagged = images.untag(&name("app:1")).unwrap();
    assert_eq!((untagged.names.len(), untagged.removed), (1, false));
    // The digest goes with the repository's last tag.
    let untagged = images.untag(&name("app:2")).unwrap();
    assert_eq!((untagged.names.len(), untagged.removed), (2, false));
    assert!(matches!(images.untag(&name("app:2")), Err(Error::NotFound { .. })));
    images.tag(&image.id, &name("third")).unwrap();
    assert!(!images.untag(&name("other:1")).unwrap().removed);
    assert!(images.untag(&name("third")).unwrap().removed);
    assert!(images.get(&image.id).unwrap().is_none());
    assert!(images.tag(&image.id, &name("fourth")).is_err());
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let world = World::new();
    let images = world.store.images();
    let old = make(&world.store, "old", &["app"]);
    let new = make(&world.store, "new", &["app"]);
    images.put(&old).unwrap();
    images.put(&new).unwrap();
    assert_eq!(images.resolve("app").unwrap().id, new.id);
    // Dangling, but still there.
    assert!(images.get(&old.id).unwrap().unwrap().names.is_empty());
    assert_eq!(images.list().unwrap().len(), 2);
    assert_eq!(images.remove(&new.id).unwrap(), [name("app")]);
    assert!(images.resolve("app").is_err());
}

#[test]
fn an_image_without_its_parts_is_refused() {
    let world = World::new();
    let image = make(&world.store, "one", &["app"]);
    let another = World::new();
    assert!(matches!(another.store.images().put(&image), Err(Error::NotFound { .. })));
    assert!(another.store.images().list().unwrap().is_empty());
}
