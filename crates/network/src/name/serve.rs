//! The service's sockets: one task per socket, one per forwarded question or TCP connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{self, Decision, Knowledge};
use super::cache::{self, Cache};
use super::resolv_conf::Resolvers;
use super::table::Names;
use super::upstream;

/// Bytes of the largest question that we read; real ones have below a hundred.
const QUESTION: usize = 4096;
/// How long a TCP connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Before accepting again when descriptors ran out.
const BREATH: Duration = Duration::from_millis(100);

/// Everything the tasks share.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) names: Arc<Names>,
    pub(super) gateway_names: Vec<String>,
    pub(super) ourselves: Vec<IpAddr>,
    pub(super) resolvers: Resolvers,
    pub(super) cache: Cache,
    pub(super) turn: AtomicUsize,
    pub(super) forwarded: Semaphore,
    pub(super) connections: Arc<Semaphore>,
    pub(super) tracker: TaskTracker,
    pub(super) cancel: CancellationToken,
}

impl Service {
    /// Answers datagrams until the service ends.
    pub(super) async fn datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; QUESTION];
        loop {
            let received = tokio::select! {
                () = self.cancel.cancelled() => return,
                received = socket.recv_from(&mut buffer) => received,
            };
            // An error here is one client's: its port is closed.
            let Ok((length, source)) = received else { continue };
            let Some(request) = buffer.get(..length).and_then(read) else { continue };
            match self.decide(&request, source.ip()) {
                Decision::Reply(reply) => send(&socket, source, &request, reply).await,
                Decision::Forward(servers) => {
                    let (service, socket) = (Arc::clone(&self), Arc::clone(&socket));
                    self.tracker.spawn(async move {
                        if let Some(reply) = service.forward(&request, servers, false).await {
                            send(&socket, source, &request, reply).await;
                        }
                    });
                }
            }
        }
    }

    /// Accepts TCP connections until the service ends.
    pub(super) async fn streams(self: Arc<Self>, listener: TcpListener) {
        loop {
            let permit = Arc::clone(&self.connections).acquire_owned().await;
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, source)) = accepted else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            let service = Arc::clone(&self);
            self.tracker.spawn(async move {
                // However it ends, the client sees the connection close.
                drop(service.stream(stream, source.ip()).await);
                drop(permit);
            });
        }
    }

    /// Follows the host's resolvers until the service ends.
    pub(super) async fn follow(self: Arc<Self>) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            result = self.resolvers.follow() => {
                if let Err(error) = result {
                    tracing::warn!(
                        error = stdx::chain(&error),
                        "changes of the host's resolvers are not followed"
                    );
                }
            }
        }
    }

    async fn stream(&self, mut stream: TcpStream, source: IpAddr) -> std::io::Result<()> {
        loop {
            let bytes = tokio::select! {
                () = self.cancel.cancelled() => return Ok(()),
                bytes = tokio::time::timeout(IDLE, question(&mut stream)) => bytes??,
            };
            let Some(request) = read(&bytes) else { return Ok(()) };
            let reply = match self.decide(&request, source) {
                Decision::Reply(reply) => Some(reply),
                Decision::Forward(servers) => self.forward(&request, servers, true).await,
            };
            let bytes = reply.and_then(|reply| reply.to_vec().ok()).unwrap_or_default();
            let Ok(length) = u16::try_from(bytes.len()) else { return Ok(()) };
            let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
            tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
        }
    }

    fn decide(&self, request: &Message, source: IpAddr) -> Decision {
        let knowledge = Knowledge {
            names: &self.names,
            gateway_names: &self.gateway_names,
            ourselves: &self.ourselves,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        answer::decide(request, source.to_canonical(), &knowledge, turn)
    }

    /// The upstream servers' answer, from the cache if possible. `None` when the service ends.
    async fn forward(
        &self,
        request: &Message,
        servers: Vec<IpAddr>,
        complete: bool,
    ) -> Option<Message> {
        let servers: Arc<[SocketAddr]> = if servers.is_empty() {
            self.resolvers.servers()
        } else {
            servers.into_iter().map(|server| SocketAddr::new(server, super::PORT)).collect()
        };
        let key = cache::Key::of(request, &servers)?;
        if let Some(mut message) = self.cache.find(&key, Instant::now()) {
            message.metadata.id = request.metadata.id;
            message.queries.clone_from(&request.queries);
            return Some(message);
        }
        let failed = answer::reply(request, ResponseCode::ServFail);
        let Ok(permit) = self.forwarded.try_acquire() else { return Some(failed) };
        let answer = tokio::select! {
            () = self.cancel.cancelled() => return None,
            answer = upstream::resolve(request, &servers, complete) => answer,
        };
        drop(permit);
        let Some(answer) = answer else { return Some(failed) };
        self.cache.keep(key, answer.clone(), Instant::now());
        Some(answer)
    }
}

/// A question, or nothing if it is none: answers are never answered.
fn read(bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    (message.metadata.message_type == MessageType::Query).then_some(message)
}

async fn question(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUESTION {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Sends an answer, without its records if they are too many for a datagram.
async fn send(socket: &UdpSocket, source: SocketAddr, request: &Message, reply: Message) {
    let mut bytes = reply.to_vec();
    if bytes.as_ref().is_ok_and(|bytes| bytes.len() > answer::datagram_size(request)) {
        bytes = answer::truncated(request).to_vec();
    }
    if let Ok(bytes) = bytes {
        // A client that cannot be reached any more needs no answer.
        drop(socket.send_to(&bytes, source).await);
    }
}
