//! Cut, slow, lying and overloaded servers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oci::Digest;
use registry::{Client, Error};
use testkit::Registry;

use crate::pull::{config, layout, read_layers, resolve};
use crate::server::{CuttingProxy, Reply, Request, Server};

/// A registry of one image with one layer, whose answers to requests for the layer are the test's.
pub(crate) fn image_server(
    layer: Vec<u8>,
    answer: impl Fn(&Request, &[u8]) -> Reply + Send + Sync + 'static,
) -> Server {
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(b"uncompressed")
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},
        "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{}","size":{}}}]}}"#,
        Digest::of(config.as_bytes()),
        config.len(),
        Digest::of(&layer),
        layer.len()
    );
    let (layer_digest, config_digest) = (Digest::of(&layer), Digest::of(config.as_bytes()));
    Server::start(move |request, _| {
        if request.path.contains(layer_digest.hex()) {
            return answer(request, &layer);
        }
        if request.path.contains(config_digest.hex()) {
            return Reply::new(200, config.as_bytes());
        }
        if request.path.contains("/manifests/") {
            return Reply::new(200, manifest.as_bytes())
                .with("Content-Type", "application/vnd.oci.image.manifest.v1+json");
        }
        Reply::new(404, "")
    })
}

fn partial(request: &Request, layer: &[u8]) -> Reply {
    let Some(start) = request.range() else { return Reply::new(200, layer) };
    let range = format!("bytes {start}-{}/{}", layer.len() - 1, layer.len());
    Reply::new(206, &layer[start..]).with("Content-Range", &range)
}

async fn read_all(server: &Server) -> registry::Result<u32> {
    let client = Client::new(config());
    let resolved = resolve(&client, &format!("{}/app", server.address())).await?;
    read_layers(&client, &resolved).await
}

#[tokio::test]
async fn a_cut_connection_is_resumed_where_it_broke() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    registry.push(&layout(directory.path(), 2_000_000), "app:1");
    let proxy = CuttingProxy::start(registry.address(), 300_000, 4);
    let client = Client::new(config());
    let resolved = resolve(&client, &format!("{}/app:1", proxy.address())).await.unwrap();
    let resumptions = read_layers(&client, &resolved).await.unwrap();
    assert_eq!(proxy.cuts_left(), 0);
    assert_eq!(resumptions, 4);
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_read_again_from_its_start() {
    let cuts = AtomicUsize::new(0);
    let server = image_server(vec![7; 50_000], move |_, layer| {
        let mut reply = Reply::new(200, layer);
        reply.cut_after = (cuts.fetch_add(1, Ordering::SeqCst) < 2).then_some(20_000);
        reply
    });
    assert_eq!(read_all(&server).await.unwrap(), 2);
}

#[tokio::test]
async fn cutting_for_ever_without_progress_is_given_up() {
    let server = image_server(vec![7; 50_000], |request, layer| {
        let mut reply = partial(request, layer);
        reply.cut_after = Some(if request.range().is_none() { 1000 } else { 0 });
        reply
    });
    let error = read_all(&server).await.unwrap_err();
    assert!(matches!(error, Error::Connection { transient: true, .. }), "{error:?}");
    assert_eq!(server.count("/blobs/"), 6, "configuration, then five tries");
}

#[tokio::test]
async fn silence_is_a_cut_too() {
    let asked = AtomicUsize::new(0);
    let server = image_server(vec![7; 10_000], move |request, layer| {
        let mut reply = partial(request, layer);
        reply.silence =
            (asked.fetch_add(1, Ordering::SeqCst) == 0).then_some(Duration::from_secs(5));
        reply
    });
    let mut config = config();
    config.timeouts.read = Duration::from_millis(200);
    let client = Client::new(config);
    let started = Instant::now();
    let resolved = resolve(&client, &format!("{}/app", server.address())).await.unwrap();
    assert_eq!(read_layers(&client, &resolved).await.unwrap(), 1);
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused() {
    let server = image_server(vec![7; 10_000], |_, layer| Reply::new(200, &layer[..9000]));
    let error = read_all(&server).await.unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { expected: 10_000, actual: 9000, .. }), "{error}");
    let server = image_server(vec![7; 10_000], |_, layer| Reply::new(200, [layer, b"x"].concat()));
    assert!(matches!(read_all(&server).await.unwrap_err(), Error::SizeMismatch { .. }));
}

#[tokio::test]
async fn a_manifest_of_another_digest_is_refused() {
    let server = Server::start(|_, _| Reply::new(200, "{}"));
    let client = Client::new(config());
    let name = format!("{}/app@{}", server.address(), Digest::of(b"x"));
    let error = resolve(&client, &name).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error:?}");
    let server = Server::start(|_, _| {
        let digest = Digest::of(b"other");
        Reply::new(200, "{}").with("Docker-Content-Digest", digest.as_str())
    });
    let error = resolve(&client, &format!("{}/app", server.address())).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn overload_is_waited_for_as_long_as_the_server_says() {
    let asked = AtomicUsize::new(0);
    let server = image_server(vec![7; 1000], move |request, layer| {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::new(503, ""),
            1 => Reply::new(429, "").with("Retry-After", "1"),
            _ => partial(request, layer),
        }
    });
    let started = Instant::now();
    read_all(&server).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count("/blobs/"), 4);
}

#[tokio::test]
async fn a_limit_of_hours_is_reported_at_once() {
    let server = Server::start(|_, _| Reply::new(429, "").with("Retry-After", "7200"));
    let client = Client::new(config());
    let error = resolve(&client, &format!("{}/app", server.address())).await.unwrap_err();
    assert!(error.to_string().ends_with("it asks to wait 7200 seconds"), "{error}");
    assert_eq!(error.kind(), stdx::ErrorKind::Exhausted);
}

#[tokio::test]
async fn failing_for_ever_is_given_up() {
    let server = Server::start(|_, _| Reply::new(500, r#"{"errors":[{"code":"UNKNOWN"}]}"#));
    let client = Client::new(config());
    let error = resolve(&client, &format!("{}/app", server.address())).await.unwrap_err();
    assert!(error.to_string().contains("answered 500"), "{error}");
    assert!(error.to_string().ends_with(": unknown"), "{error}");
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn documents_that_are_no_images_are_refused() {
    let cases: [(&str, &str); 4] = [
        (r#"{"schemaVersion":1,"fsLayers":[],"name":"x"}"#, "obsolete schema 1"),
        (
            r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":1,"platform":{"os":"linux","architecture":"s390x"}}]}"#,
            "no matching manifest for linux/",
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":1},"layers":[]}"#,
            "is not a container image: its media type is application/vnd.cncf.helm",
        ),
        ("<html>login</html>", "invalid manifest of"),
    ];
    for (body, expected) in cases {
        let server = Server::start(move |_, _| Reply::new(200, body));
        let client = Client::new(config());
        let error = resolve(&client, &format!("{}/app", server.address())).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_outage_in_the_middle_of_a_blob_is_waited_for() {
    // More failures than one request is repeated for.
    const OUTAGE: usize = 12;
    let asked = AtomicUsize::new(0);
    let server = image_server(vec![7; 50_000], move |request, layer| {
        let count = asked.fetch_add(1, Ordering::SeqCst);
        if (1..=OUTAGE).contains(&count) {
            return Reply::new(503, "");
        }
        let mut reply = partial(request, layer);
        reply.cut_after = (count == 0).then_some(20_000);
        reply
    });
    assert_eq!(read_all(&server).await.unwrap(), 1);
    assert_eq!(server.count("/blobs/"), OUTAGE + 3, "configuration, cut, outage, rest");
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up() {
    let server = image_server(vec![7; 50_000], |request, layer| {
        if request.range().is_some() {
            return Reply::new(503, "");
        }
        let mut reply = Reply::new(200, layer);
        reply.cut_after = Some(20_000);
        reply
    });
    let error = read_all(&server).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }), "{error:?}");
    assert_eq!(server.count("/blobs/"), 2 + 11 * 5);
}

#[tokio::test]
async fn a_tls_server_is_not_taken_for_a_plain_one() {
    // What nginx and Go say to plain HTTP, while their TLS fails for a moment.
    let inner = image_server(vec![7; 1000], partial);
    let inner_address = inner.address();
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request, _| {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::new(400, "Client sent an HTTP request to an HTTPS server.");
        }
        crate::auth::forward(&inner_address, request)
    });
    let mut config = config();
    config.retry.attempts = 1;
    let client = Client::new(config);
    let name = format!("{}/app", server.address());
    let error = resolve(&client, &name).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot reach registry https://"), "{error}");
    resolve(&client, &name).await.unwrap();
    drop(inner);
}
