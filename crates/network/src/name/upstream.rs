//! Asking the upstream servers: the first good answer wins.
//!
//! A server that has not answered after a moment gets company of the next one; both may still
//! answer. One that fails is followed by the next at once. Questions go out from a socket of their
//! own each, so that port and id are hard to guess.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::answer::PAYLOAD;

/// After this, the next server is asked too.
const HEDGE: Duration = Duration::from_millis(300);
/// After this, the asker is told that it failed: below the five seconds that libc waits.
const PATIENCE: Duration = Duration::from_millis(4500);
/// How often the list of servers is gone through.
const ROUNDS: usize = 2;

/// Why one server gave no usable answer.
#[derive(Debug)]
enum Failure {
    /// It could not be asked, or answered nonsense.
    Broken,
    /// It answered, but with a failure of its own.
    Refused(Message),
}

/// The answer to `request`; `complete` asks again by TCP if it does not fit a datagram. `None`
/// when no server answers.
pub(super) async fn resolve(
    request: &Message,
    servers: &[SocketAddr],
    complete: bool,
) -> Option<Message> {
    timeout(PATIENCE, race(request, servers, complete)).await.ok().flatten()
}

async fn race(request: &Message, servers: &[SocketAddr], complete: bool) -> Option<Message> {
    let mut waiting = std::iter::repeat_n(servers, ROUNDS).flatten();
    let mut asked = FuturesUnordered::new();
    let mut refusal = None;
    loop {
        let next = waiting.next();
        if let Some(server) = next {
            asked.push(ask(request, *server, complete));
        }
        // Wait for an answer, but only for a moment while there is another server to ask.
        loop {
            let answer = tokio::select! {
                biased;
                answer = asked.next() => answer,
                () = sleep(HEDGE), if next.is_some() => break,
            };
            match answer {
                Some(Ok(message)) => return Some(message),
                Some(Err(Failure::Refused(message))) => refusal = Some(message),
                Some(Err(Failure::Broken)) => {}
                None => return refusal,
            }
            if next.is_some() {
                break;
            }
        }
    }
}

async fn ask(request: &Message, server: SocketAddr, complete: bool) -> Result<Message, Failure> {
    let mut question = request.clone();
    question.metadata.id = u16::from_ne_bytes(stdx::random::bytes());
    let bytes = question.to_vec().map_err(|_| Failure::Broken)?;
    let mut answer = by_datagram(&question, &bytes, server).await.ok_or(Failure::Broken)?;
    if answer.metadata.truncation && complete {
        answer = by_stream(&question, &bytes, server).await.ok_or(Failure::Broken)?;
    }
    answer.metadata.id = request.metadata.id;
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        _ => Err(Failure::Refused(answer)),
    }
}

async fn by_datagram(question: &Message, bytes: &[u8], server: SocketAddr) -> Option<Message> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(bytes).await.ok()?;
    let mut buffer = vec![0; usize::from(PAYLOAD).max(4096)];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        // Anything that is no answer to this question may come from anybody.
        if let Some(answer) = buffer.get(..length).and_then(|bytes| read(question, bytes)) {
            return Some(answer);
        }
    }
}

async fn by_stream(question: &Message, bytes: &[u8], server: SocketAddr) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let length = u16::try_from(bytes.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await.ok()?;
    let length = stream.read_u16().await.ok()?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await.ok()?;
    read(question, &buffer)
}

fn read(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let ours = answer.metadata.id == question.metadata.id && answer.queries == question.queries;
    ours.then_some(answer)
}
