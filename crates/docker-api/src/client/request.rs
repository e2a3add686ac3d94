//! Single requests over connections that are kept between them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::TaskTracker;

use super::Endpoint;
use crate::{Error, ErrorResponse, Result};

/// The most of an error's body that is read, bytes.
const ERROR_LIMIT: usize = 1 << 20;
/// A piece of an upload, bytes.
const PIECE: usize = 64 << 10;

/// What is sent with a request.
pub(crate) type Payload = UnsyncBoxBody<Bytes, io::Error>;
/// The sending side of a connection.
pub(crate) type Sender = SendRequest<Payload>;

/// Either kind of socket.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// One request, as often as it must be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path with version and query.
    pub(crate) target: String,
    /// Name and value of headers beyond the usual.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// Method and path, for errors.
    pub(crate) fn label(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    fn build(&self, upload: Option<Payload>) -> Result<hyper::Request<Payload>> {
        let mut builder = hyper::Request::builder()
            .method(self.method.clone())
            .uri(&self.target)
            .header("Host", "localhost")
            .header("User-Agent", concat!("brig/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        if self.body.is_some() {
            builder = builder.header("Content-Type", "application/json");
        }
        let body = upload.unwrap_or_else(|| {
            Full::new(self.body.clone().unwrap_or_default())
                .map_err(|never| match never {})
                .boxed_unsync()
        });
        builder.body(body).map_err(|source| Error::Malformed { request: self.label(), source })
    }
}

/// Opens a socket to the daemon.
pub(crate) async fn dial(endpoint: &Endpoint) -> Result<Box<dyn Socket>> {
    let opened: io::Result<Box<dyn Socket>> = match endpoint {
        Endpoint::Unix(path) => {
            UnixStream::connect(path).await.map(|stream| Box::new(stream) as Box<dyn Socket>)
        }
        Endpoint::Tcp { host, port } => {
            TcpStream::connect((host.as_str(), *port)).await.map(|stream| {
                // Small messages go both ways; a failure only costs time.
                let _unimportant = stream.set_nodelay(true);
                Box::new(stream) as Box<dyn Socket>
            })
        }
    };
    opened.map_err(|source| Error::Connect { endpoint: endpoint.to_string(), source })
}

/// Opens a connection; `tracker` runs it.
pub(crate) async fn connect(endpoint: &Endpoint, tracker: &TaskTracker) -> Result<Sender> {
    let socket = dial(endpoint).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(|source| {
        Error::Transport { request: format!("to {endpoint}"), source: Box::new(source) }
    })?;
    // A broken connection is reported to whoever uses it.
    drop(tracker.spawn(async move { drop(connection.await) }));
    Ok(sender)
}

/// How sending failed.
pub(crate) enum SendError {
    /// The kept connection was closed before anything was sent: try another one.
    Stale,
    /// Everything else.
    Final(Error),
}

/// Sends a request and waits for the answer's head.
pub(crate) async fn send(
    sender: &mut Sender,
    request: &Request,
    upload: Option<Payload>,
) -> std::result::Result<Response<Incoming>, SendError> {
    let message = request.build(upload).map_err(SendError::Final)?;
    if sender.ready().await.is_err() {
        return Err(SendError::Stale);
    }
    sender.send_request(message).await.map_err(|source| {
        if source.is_canceled() {
            SendError::Stale
        } else {
            let source = Box::new(source);
            SendError::Final(Error::Transport { request: request.label(), source })
        }
    })
}

/// Turns an answer of 400 and above into an error with the daemon's message.
pub(crate) async fn accept(
    label: &str,
    response: Response<Incoming>,
) -> Result<Response<Incoming>> {
    let status = response.status();
    if status.as_u16() < StatusCode::BAD_REQUEST.as_u16() {
        return Ok(response);
    }
    let body = Limited::new(response.into_body(), ERROR_LIMIT).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).map_err(|_| Error::Protocol {
        request: label.to_owned(),
        detail: "the body of a refusal broke off",
    })?;
    Err(refusal(status.as_u16(), &bytes))
}

/// The error that a refusal's body stands for.
pub(crate) fn refusal(status: u16, body: &[u8]) -> Error {
    let message = match serde_json::from_slice::<ErrorResponse>(body) {
        Ok(response) if !response.message.is_empty() => response.message,
        _ => {
            let text = String::from_utf8_lossy(body).trim().to_owned();
            if text.is_empty() { format!("the daemon answered with status {status}") } else { text }
        }
    };
    Error::Refused { status, message }
}

/// Reads a whole body.
pub(crate) async fn collect(label: &str, body: Incoming) -> Result<Bytes> {
    let collected = body.collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|source| Error::Transport { request: label.to_owned(), source: Box::new(source) })
}

/// A body read from a file or pipe as it is sent.
pub(crate) struct ReaderBody<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R> ReaderBody<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new() }
    }
}

impl<R: AsyncRead + Unpin> Body for ReaderBody<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.buffer.resize(PIECE, 0);
        let mut space = ReadBuf::new(&mut this.buffer);
        if let Err(error) = ready!(Pin::new(&mut this.reader).poll_read(context, &mut space)) {
            return Poll::Ready(Some(Err(error)));
        }
        let filled = space.filled().len();
        if filled == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(filled).freeze()))))
    }
}
