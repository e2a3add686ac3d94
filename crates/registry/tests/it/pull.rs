//! Whole images from Debian's registry.

use oci::{Platform, Reference};
use registry::{Client, Config, Resolved, RetryPolicy};
use std::fs;
use std::path::Path;
use std::time::Duration;
use testkit::Registry;
use testkit::image::{Layout, Settings};

/// Quick retries, so that tests do not wait.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.retry.first_delay = Duration::from_millis(2);
    config.retry.longest_delay = Duration::from_millis(20);
    config
}

/// A layout with one large incompressible layer and one small one.
pub(crate) fn layout(directory: &Path, bytes: usize) -> Layout {
    let (low, high) = (directory.join("low"), directory.join("high"));
    fs::create_dir_all(&low).unwrap();
    fs::create_dir_all(&high).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    fs::write(low.join("noise"), noise.take(bytes).collect::<Vec<_>>()).unwrap();
    fs::write(high.join("greeting"), "hello\n").unwrap();
    let settings = Settings { command: vec!["true".to_owned()], ..Settings::default() };
    Layout::write(&directory.join("layout"), &[&low, &high], &settings)
}

pub(crate) async fn resolve(client: &Client, name: &str) -> registry::Result<Resolved> {
    let reference = Reference::parse(name).unwrap();
    client.resolve(&reference, &Platform::host(), None, None).await
}

/// Reads every layer and checks its digest.
pub(crate) async fn read_layers(client: &Client, resolved: &Resolved) -> registry::Result<u32> {
    let mut resumptions = 0;
    for layer in &resolved.layers {
        let mut stream = client.blob(resolved, layer, 0);
        let mut hasher = layer.digest.hasher();
        while let Some(piece) = stream.next().await {
            hasher.update(&piece?);
        }
        assert_eq!(hasher.finish(), layer.digest);
        assert_eq!(stream.position(), layer.size);
        resumptions += stream.resumptions();
    }
    Ok(resumptions)
}

#[tokio::test]
async fn an_image_by_tag_and_by_digest() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.push(&layout(directory.path(), 100_000), "team/app:1");
    let client = Client::new(config());
    let name = format!("{}/team/app", registry.address());

    let resolved = resolve(&client, &format!("{name}:1")).await.unwrap();
    assert_eq!(resolved.layers.len(), 2);
    assert_eq!(resolved.image.config.cmd, ["true"]);
    assert_eq!(resolved.target, resolved.descriptor);
    assert!(resolved.index.is_none());
    read_layers(&client, &resolved).await.unwrap();

    let again = resolve(&client, &format!("{name}@{}", resolved.target.digest)).await.unwrap();
    assert_eq!(again.manifest, resolved.manifest);

    let mut rest = client.blob(&resolved, &resolved.layers[0], 90_000);
    let mut count = 0;
    while let Some(piece) = rest.next().await {
        count += piece.unwrap().len() as u64;
    }
    assert_eq!(count, resolved.layers[0].size - 90_000);
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.push(&layout(directory.path(), 1000), "app:1");
    let client = Client::new(config());
    let name = format!("{}/app:1", registry.address());
    let first = resolve(&client, &name).await.unwrap();
    let reference = Reference::parse(&name).unwrap();
    let local = |digest: &oci::Digest| match digest {
        digest if *digest == first.descriptor.digest => Some(first.manifest.to_vec()),
        digest if *digest == first.config_descriptor.digest => Some(first.config.to_vec()),
        _ => None,
    };
    // The blobs are gone from the registry: only the HEAD can have been asked.
    let blob = first.config_descriptor.digest.hex().to_owned();
    let path = format!("docker/registry/v2/blobs/sha256/{}/{blob}", blob.get(..2).unwrap());
    fs::remove_dir_all(registry.storage().join(path)).unwrap();
    let platform = Platform::host();
    let again = client.resolve(&reference, &platform, None, Some(&local)).await.unwrap();
    assert_eq!(again.config, first.config);
}

#[tokio::test]
async fn unknown_names_are_reported_in_known_words() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.push(&layout(directory.path(), 10), "app:1");
    let client = Client::new(config());
    let address = registry.address();
    let error = resolve(&client, &format!("{address}/app:2")).await.unwrap_err();
    let text = format!("manifest for {address}/app:2 not found: manifest unknown");
    assert_eq!(error.to_string(), text);
    let error = resolve(&client, &format!("{address}/other:1")).await.unwrap_err();
    assert_eq!(error.kind(), stdx::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let port = testkit::process::free_port();
    let client = Client::new(config());
    let error = resolve(&client, &format!("127.0.0.1:{port}/app")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot reach registry http://127.0.0.1:{port}: ")),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
    let error = resolve(&client, "registry.invalid/app").await.unwrap_err().to_string();
    let expected = "cannot reach registry https://registry.invalid: the name registry.invalid cannot be resolved";
    assert_eq!(error, expected);
}

#[test]
fn the_default_policy_is_bounded() {
    let policy = RetryPolicy::default();
    assert!(policy.attempts <= 10 && policy.resumptions <= 1000);
}
