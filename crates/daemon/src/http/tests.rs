//! Framing over real sockets, with a small service in the engine's place; the client of the API on
//! the other side where that is what speaks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use docker_api::{Client, Endpoint, Query, frame};
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Call, Refusal, Reply, Service, Session, Socket};

/// Says what it got, once it has got all of it; `head` comes first.
fn echo(head: Vec<u8>) -> Session {
    Box::new(move |mut socket: Socket, early: Bytes| {
        Box::pin(async move {
            let mut input = early.to_vec();
            socket.read_to_end(&mut input).await.unwrap();
            let answer = [head.as_slice(), b"end of ", &input].concat();
            socket.write_all(&answer).await.unwrap();
        })
    })
}

/// What the tests' service counts.
#[derive(Debug, Default)]
struct Small {
    waiting: Notify,
    given_up: AtomicUsize,
    finish: Notify,
    closing: CancellationToken,
}

/// Counts a call that is dropped before its end.
struct Waiting(Arc<Small>, bool);

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.1 {
            self.0.given_up.fetch_add(1, Ordering::SeqCst);
            self.0.finish.notify_one();
        }
    }
}

impl Service for Small {
    fn call(
        self: Arc<Self>,
        mut call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>> {
        Box::pin(async move {
            match call.path.as_str() {
                "/hello" => Ok(super::json(&call.query.get("name"))),
                "/body/attach" | "/exec/x/start" => {
                    let body = call.bytes().await?;
                    Ok(call.take_over(frame::RAW_STREAM, "X-Small: 1\r\n", echo(body.to_vec())))
                }
                "/refused/attach" => Err(Refusal::new(StatusCode::CONFLICT, "not running")),
                "/wait" => {
                    let mut waiting = Waiting(Arc::clone(&self), false);
                    self.waiting.notify_one();
                    self.finish.notified().await;
                    waiting.1 = true;
                    Ok(super::json(&"waited"))
                }
                "/lines" => {
                    let body = super::stream(0, |number| async move {
                        (number < 3).then(|| (super::line(&number), number + 1))
                    });
                    Ok(super::lines("application/json", body))
                }
                "/endless" => {
                    let body = super::endless(&self.closing, true, |first| async move {
                        if !first {
                            std::future::pending::<()>().await;
                        }
                        Some((super::line(&"begun"), false))
                    });
                    Ok(super::lines("application/json", body))
                }
                _ => Err(Refusal::new(StatusCode::NOT_FOUND, "page not found")),
            }
        })
    }

    fn finish(&self, reply: &mut Reply) {
        reply.headers_mut().insert("x-small", hyper::header::HeaderValue::from_static("1"));
    }
}

struct World {
    small: Arc<Small>,
    closing: CancellationToken,
    tracker: TaskTracker,
}

impl World {
    fn new() -> Self {
        let small = Arc::new(Small::default());
        let closing = small.closing.clone();
        Self { small, closing, tracker: TaskTracker::new() }
    }

    /// A raw connection to the service.
    fn connect(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let service = Arc::clone(&self.small);
        let serving = super::serve(service, Socket::Unix(theirs), self.closing.clone());
        drop(self.tracker.spawn(serving));
        ours
    }

    /// A client of the service, which listens in the directory.
    fn client(&self, directory: &std::path::Path) -> Client {
        let path = directory.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let (small, closing, tracker) =
            (Arc::clone(&self.small), self.closing.clone(), self.tracker.clone());
        drop(self.tracker.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving =
                    super::serve(Arc::clone(&small), Socket::Unix(stream), closing.clone());
                drop(tracker.spawn(serving));
            }
        }));
        Client::new(Endpoint::Unix(path))
    }
}

/// Reads up to the end of a head.
async fn head(socket: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn rest(socket: &mut UnixStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn an_upgrade_is_answered_101_and_half_closed() {
    let world = World::new();
    let mut socket = world.connect();
    let request = "POST /v1.41/body/attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                   Upgrade: tcp\r\nContent-Length: 2\r\n\r\n{}";
    socket.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(
        head(&mut socket).await,
        "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
         Connection: Upgrade\r\nUpgrade: tcp\r\nX-Small: 1\r\n\r\n"
    );
    socket.write_all(b"some input").await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(rest(&mut socket).await, "{}end of some input");
}

#[tokio::test]
async fn a_kept_connection_is_taken_over_with_200() {
    let world = World::new();
    let mut socket = world.connect();
    for _ in 0..2 {
        let request = "GET /hello?name=a%20b HTTP/1.1\r\nHost: x\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("x-small: 1"), "{head}");
        let mut body = [0; 6];
        socket.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"\"a b\"\n");
    }
    // Input right behind the call, in the same packet.
    let request = "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}early ";
    socket.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(
        head(&mut socket).await,
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nX-Small: 1\r\n\r\n"
    );
    socket.write_all(b"and late").await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(rest(&mut socket).await, "{}end of early and late");
}

#[tokio::test]
async fn input_may_end_together_with_the_call() {
    let world = World::new();
    for body in ["", "0123456789"] {
        let mut socket = world.connect();
        let length = body.len();
        let request = format!(
            "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}in"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let text = rest(&mut socket).await;
        assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(text.ends_with(&format!("\r\n\r\n{body}end of in")), "{text}");
    }
}

#[tokio::test]
async fn a_refused_stream_leaves_the_connection_as_it_was() {
    let world = World::new();
    let mut socket = world.connect();
    for _ in 0..2 {
        let request = "POST /refused/attach HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\
                       Connection: Upgrade\r\nContent-Length: 0\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut socket).await;
        assert!(head.starts_with("HTTP/1.1 409 Conflict"), "{head}");
        let mut body = [0; 26];
        socket.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"{\"message\":\"not running\"}\n");
    }
    socket.shutdown().await.unwrap();
    assert_eq!(rest(&mut socket).await, "");
    world.tracker.close();
    world.tracker.wait().await;
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_call_up() {
    let world = World::new();
    let mut socket = world.connect();
    socket.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    world.small.waiting.notified().await;
    drop(socket);
    world.small.finish.notified().await;
    assert_eq!(world.small.given_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn closing_answers_running_calls_and_ends_idle_connections() {
    let world = World::new();
    let mut idle = world.connect();
    let mut busy = world.connect();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    world.small.waiting.notified().await;
    let mut raw = world.connect();
    raw.write_all(b"POST /body/attach HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    head(&mut raw).await;
    let mut endless = world.connect();
    endless.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    head(&mut endless).await;
    world.closing.cancel();
    assert!(rest(&mut endless).await.ends_with("\"begun\"\n\r\n0\r\n\r\n"));
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut raw).await, "");
    world.small.finish.notify_one();
    assert!(rest(&mut busy).await.ends_with("\"waited\"\n"));
    world.tracker.close();
    world.tracker.wait().await;
}

#[tokio::test]
async fn versions_out_of_range_are_refused() {
    let world = World::new();
    let mut socket = world.connect();
    let request = "GET /v1.99/hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let text = rest(&mut socket).await;
    assert!(text.starts_with("HTTP/1.1 400 Bad Request"), "{text}");
    assert!(text.contains("client version 1.99 is too new"), "{text}");
}

#[tokio::test]
async fn the_client_calls_streams_and_takes_over() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let client = world.client(directory.path());
    client.connect().await.unwrap();
    for _ in 0..3 {
        let query = Query::new().with("name", "ü&=");
        assert_eq!(client.get::<String>("/hello", &query).await.unwrap(), "ü&=");
    }
    let mut lines = client.lines::<u32>("/lines", &Query::new()).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(number) = lines.next().await.unwrap() {
        numbers.push(number);
    }
    assert_eq!(numbers, [0, 1, 2]);

    let error = client.get::<String>("/nothing", &Query::new()).await.unwrap_err();
    assert_eq!((error.status(), error.to_string()), (Some(404), "page not found".to_owned()));
    let error = client.hijack("/refused/attach", &Query::new(), None::<&()>).await.unwrap_err();
    assert_eq!((error.status(), error.to_string()), (Some(409), "not running".to_owned()));

    let body = ["x"];
    let mut stream = client.hijack("/exec/x/start", &Query::new(), Some(&body)).await.unwrap();
    assert_eq!(stream.multiplexed, Some(false));
    stream.writer.write_all(b"typed").await.unwrap();
    stream.writer.shutdown().await.unwrap();
    let mut output = String::new();
    stream.reader.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "[\"x\"]end of typed");
}

#[tokio::test]
async fn nobody_there_is_an_error_of_its_own() {
    let client = Client::new(Endpoint::Unix("/nonexistent/socket".into()));
    let error = client.connect().await.unwrap_err();
    assert_eq!(error.kind(), stdx::ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "cannot connect to the daemon at unix:///nonexistent/socket");
}
