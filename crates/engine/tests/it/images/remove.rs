//! Names and their end.

use engine::Error;
use engine::images::{ImageFilter, ImageUser, Removal, RemoveOptions};
use oci::Reference;
use testkit::Registry;

use super::pull::layout;
use super::{World, listen};

#[tokio::test]
async fn the_last_name_takes_image_and_layers_along() {
    let world = World::new();
    let registry = Registry::start();
    registry.push(&layout(world.path(), 2, 1000), "app:1");
    let name = format!("{}/app:1", registry.address());
    listen(world.pull(&name)).await.1.unwrap();
    let target = Reference::parse("mine:1").unwrap();
    world.images.tag(&name, &target).await.unwrap();
    let image = world.images.inspect("mine:1").await.unwrap();
    assert_eq!(image.tags.len(), 2);

    let plain = RemoveOptions::default();
    let removed = world.images.remove(&name, plain, &[]).await.unwrap();
    assert_eq!(removed, [Removal::Untagged(Reference::parse(&name).unwrap())]);
    assert!(world.images.inspect(&name).await.is_err());

    let container = "c".repeat(64);
    let user = ImageUser { container, image: image.id.clone(), running: true };
    let refused = world.images.remove("mine:1", plain, std::slice::from_ref(&user)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");

    let removed = world.images.remove("mine:1", plain, &[]).await.unwrap();
    assert!(removed.contains(&Removal::Untagged(target)));
    assert!(removed.contains(&Removal::Deleted(image.id.clone())));
    assert!(removed.contains(&Removal::Deleted(image.chain[1].clone())));
    assert!(world.store.layers().list().unwrap().is_empty());
    assert!(world.store.content().list().unwrap().is_empty());
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::new();
    listen(world.pull("hello")).await.1.unwrap();
    let list = async |filter: ImageFilter| world.images.list(&filter).await.unwrap().len();
    assert_eq!(list(ImageFilter::default()).await, 1);
    let references =
        |text: &str| ImageFilter { references: vec![text.to_owned()], ..ImageFilter::default() };
    assert_eq!(list(references("hello")).await, 1);
    assert_eq!(list(references("hel*:latest")).await, 1);
    assert_eq!(list(references("other")).await, 0);
    let dangling = ImageFilter { dangling: Some(true), ..ImageFilter::default() };
    assert_eq!(list(dangling).await, 0);
    let labels = vec!["org.opencontainers.image.title=hello".to_owned()];
    assert_eq!(list(ImageFilter { labels, ..ImageFilter::default() }).await, 1);
    let id = world.images.inspect("hello").await.unwrap().id;
    let short = world.images.inspect(id.short()).await.unwrap();
    assert_eq!(short.id, id);
}
