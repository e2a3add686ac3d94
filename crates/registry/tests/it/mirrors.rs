//! Mirrors before the origin, and TLS with certificates of one's own.

use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{Client, Error};
use testkit::Registry;

use crate::faults::image_server;
use crate::pull::{config, layout, read_layers, resolve};
use crate::server::{Reply, Server};

#[tokio::test]
async fn the_default_registry_by_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.push(&layout(directory.path(), 1000), "library/python:3.11-slim");
    let mut config = config();
    let text = format!(
        "[registries.\"docker.io\"]\nmirrors = [{{ location = \"{}\", plain_http = true }}]\n",
        registry.address()
    );
    config.add_native(&text).unwrap();
    let client = Client::new(config);
    let resolved = resolve(&client, "python:3.11-slim").await.unwrap();
    assert_eq!(resolved.reference.to_string(), "docker.io/library/python:3.11-slim");
    read_layers(&client, &resolved).await.unwrap();
}

#[tokio::test]
async fn a_mirror_that_is_dead_or_lacks_the_image_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let origin = Registry::start();
    origin.push(&layout(directory.path(), 1000), "app:1");
    let empty = Server::start(|_, _| Reply::new(404, ""));
    let broken = Server::start(|_, _| Reply::new(500, ""));
    let dead = format!("http://127.0.0.1:{}", testkit::process::free_port());
    let mirrors =
        [dead, format!("http://{}", empty.address()), format!("http://{}", broken.address())];
    let mut config = config();
    for mirror in &mirrors {
        config = config.with_mirror(origin.address(), mirror);
    }
    let client = Client::new(config);
    let resolved = resolve(&client, &format!("{}/app:1", origin.address())).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();
    assert!(!empty.requests().is_empty() && !broken.requests().is_empty());
    let error = resolve(&client, &format!("{}/app:2", origin.address())).await.unwrap_err();
    assert!(matches!(error, Error::ManifestUnknown { .. }), "the origin's word: {error}");
}

#[tokio::test]
async fn a_mirror_that_dies_in_the_middle_of_a_blob_is_left() {
    let layer = vec![5; 40_000];
    let good = image_server(layer.clone(), |request, layer| match request.range() {
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", layer.len() - 1, layer.len());
            Reply::new(206, &layer[start..]).with("Content-Range", &range)
        }
        None => Reply::new(200, layer),
    });
    let dying = image_server(layer, |request, layer| {
        if request.range().is_some() {
            return Reply::new(500, "");
        }
        let mut reply = Reply::new(200, layer);
        reply.cut_after = Some(10_000);
        reply
    });
    let mirror = format!("http://{}", dying.address());
    let client = Client::new(config().with_mirror(&good.address(), &mirror));
    let resolved = resolve(&client, &format!("{}/app", good.address())).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();
    let asked = good.requests();
    assert_eq!(asked.len(), 1, "only the rest of the layer: {asked:?}");
    assert!(asked[0].range().is_some());
}

#[tokio::test]
async fn a_mirror_is_waited_for_when_there_is_nobody_else() {
    let asked = AtomicUsize::new(0);
    let mirror = image_server(vec![5; 40_000], move |request, layer| {
        match (asked.fetch_add(1, Ordering::SeqCst), request.range()) {
            (0, _) => Reply { cut_after: Some(10_000), ..Reply::new(200, layer) },
            (1..6, _) | (_, None) => Reply::new(503, ""),
            (_, Some(start)) => {
                let range = format!("bytes {start}-{}/{}", layer.len() - 1, layer.len());
                Reply::new(206, &layer[start..]).with("Content-Range", &range)
            }
        }
    });
    let origin = format!("127.0.0.1:{}", testkit::process::free_port());
    let client =
        Client::new(config().with_mirror(&origin, &format!("http://{}", mirror.address())));
    let resolved = resolve(&client, &format!("{origin}/app")).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();
}

#[tokio::test]
async fn a_blocked_registry_is_not_asked() {
    let mut config = config();
    let text = "[[registry]]\nlocation = \"bad.example\"\nblocked = true\n";
    config.add_registries_conf(text).unwrap();
    let error = resolve(&Client::new(config), "bad.example/x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "registry bad.example is blocked in the registries configuration"
    );
}
