//! A registry that answers anything: challenges, redirections, tokens, manifests, layers.
//!
//! Input: whole HTTP responses, one for each connection, between lines of `~`.
#![no_main]

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use oci::{Platform, Reference};
use registry::{Client, Config, Credentials, RetryPolicy, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

type Responses = Arc<Mutex<VecDeque<Vec<u8>>>>;

struct World {
    runtime: Runtime,
    client: Client,
    responses: Responses,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

libfuzzer_sys::fuzz_target!(|text: &str| {
    let world = &*WORLD;
    *world.responses.lock().expect("no panic") =
        text.split("\n~\n").map(|response| response.as_bytes().to_owned()).collect();
    world.runtime.block_on(pull(&world.client));
});

async fn pull(client: &Client) {
    let reference = Reference::parse("127.0.0.1:5000/image:1").expect("a reference");
    let credentials = Credentials::basic("name", "password");
    let resolved = client.resolve(&reference, &Platform::host(), Some(&credentials), None).await;
    let Ok(resolved) = resolved else { return };
    for layer in &resolved.layers {
        let mut stream = client.blob(&resolved, layer, 0);
        let mut received = 0;
        while let Some(Ok(piece)) = stream.next().await {
            received += piece.len();
        }
        assert!(u64::try_from(received).is_ok_and(|received| received <= layer.size));
    }
}

fn world() -> World {
    fuzz::enter_loopback_only();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let responses = Responses::default();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:5000").await.expect("the registry's address");
        let responses = Arc::clone(&responses);
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let response = responses.lock().expect("no panic").pop_front();
                tasks.spawn(respond(stream, response.unwrap_or_default()));
            }
        });
    });
    let mut config = Config::new().with_plain_http("127.0.0.1:5000");
    // Nothing is worth waiting for.
    config.retry = RetryPolicy {
        attempts: 1,
        resumptions: 1,
        outages: 0,
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(1),
        longest_retry_after: Duration::ZERO,
    };
    config.timeouts =
        Timeouts { connect: Duration::from_millis(100), read: Duration::from_millis(100) };
    World { client: Client::new(config), runtime, responses }
}

/// Reads a request's head, answers and closes.
async fn respond(mut stream: TcpStream, response: Vec<u8>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    drop(stream.write_all(&response).await);
    drop(stream.shutdown().await);
}
