//! The name service between a client and an upstream that both send anything.
//!
//! Input: one byte, the length of the question; the question; then what the upstream answers behind
//! the question's id, a first byte that says how much of the question it repeats.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use network::{NameService, NameServiceOptions, Names};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

const UPSTREAM: &str = "127.0.0.2:53";
/// Answered by the service itself: a question for `gateway.test`, class IN, type A.
const KNOWN: &[u8] =
    b"\xfe\xed\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07gateway\x04test\x00\x00\x01\x00\x01";

struct World {
    runtime: Runtime,
    client: UdpSocket,
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    _service: NameService,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let (question, answer) = bytes.split_at(usize::from(*length).min(bytes.len()));
    let world = &*WORLD;
    *world.answer.lock().expect("no panic") = answer.to_owned();
    world.runtime.block_on(ask(world, question));
});

/// Asks, then asks something that is known, and waits for the answer to that.
async fn ask(World { client, address, .. }: &World, question: &[u8]) {
    client.send_to(question, address).await.expect("sent");
    // Time for a forwarded question to go out and its answer to come back.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    client.send_to(KNOWN, address).await.expect("sent");
    let mut buffer = [0; 4096];
    loop {
        let received = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut buffer));
        received.await.expect("the service still answers").expect("received");
        if buffer.starts_with(&KNOWN[..2]) {
            return;
        }
    }
}

fn world() -> World {
    fuzz::enter_loopback_only();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let resolv_conf = fuzz::directory().join("resolv.conf");
    std::fs::write(&resolv_conf, "nameserver 127.0.0.2\n").expect("written");
    let answer = Arc::<Mutex<Vec<u8>>>::default();
    let (client, service) = runtime.block_on(async {
        let upstream = UdpSocket::bind(UPSTREAM).await.expect("the upstream's address");
        TaskTracker::new().spawn(serve(upstream, Arc::clone(&answer)));
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let options = NameServiceOptions {
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            sockets: Vec::new(),
            resolv_conf,
            gateway_names: vec!["gateway.test".to_owned()],
            tracker: TaskTracker::new(),
            cancel: tokio_util::sync::CancellationToken::new(),
        };
        let service = NameService::start(&Arc::<Names>::default(), options);
        (client, service.expect("the service starts"))
    });
    // The first of its sockets takes datagrams.
    let first = service.sockets().expect("its sockets").swap_remove(0);
    let address = std::net::UdpSocket::from(first).local_addr().expect("an address");
    World { runtime, client, address, answer, _service: service }
}

/// The upstream: the input's answer first, then one that ends the wait for it.
async fn serve(upstream: UdpSocket, answer: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, source)) = upstream.recv_from(&mut buffer).await {
        let question = &buffer[..length];
        let mut reply = question.get(..2).unwrap_or_default().to_owned();
        if let Some((repeated, rest)) = answer.lock().expect("no panic").split_first() {
            let end = usize::from(*repeated).min(length);
            reply.extend(question.get(2..end).unwrap_or_default());
            // An answer, not a question.
            if let Some(flags) = reply.get_mut(2) {
                *flags |= 0x80;
            }
            reply.extend(rest);
        }
        drop(upstream.send_to(&reply, source).await);
        // SERVFAIL.
        let mut failed = question.to_owned();
        if let Some([high, low]) = failed.get_mut(2..4) {
            (*high, *low) = (*high | 0x80, *low & 0xf0 | 2);
        }
        drop(upstream.send_to(&failed, source).await);
    }
}
