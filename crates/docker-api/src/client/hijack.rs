//! Connections that become raw streams.
//!
//! The exchange is written by hand: a server may answer 101 and go on raw, as the protocol of HTTP
//! upgrades has it, or (Docker's older way) answer 200 and go on raw all the same, which no HTTP
//! library lets pass.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf as Reading,
    WriteHalf as Writing,
};

use super::request::{self, Request, Socket};
use super::{Endpoint, stream};
use crate::{Error, Result};

/// The longest head of an answer, bytes.
const HEAD_LIMIT: usize = 64 << 10;

/// A connection after `attach` or `exec start`.
#[derive(Debug)]
pub struct Hijacked {
    /// Output of the process.
    pub reader: ReadHalf,
    /// Its input.
    pub writer: WriteHalf,
    /// Whether the output is multiplexed frames; `None` when the server does not say (before API
    /// 1.42).
    pub multiplexed: Option<bool>,
}

/// Output of the process (an `AsyncRead`).
pub struct ReadHalf {
    early: Bytes,
    socket: Reading<Box<dyn Socket>>,
}

/// Input of the process (an `AsyncWrite`). Shutting it down is end of file for the process and
/// leaves its output open; dropping it does nothing while the other half lives.
pub struct WriteHalf {
    socket: Writing<Box<dyn Socket>>,
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReadHalf").field("early", &self.early.len()).finish()
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WriteHalf").finish()
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, space);
        }
        let count = self.early.len().min(space.remaining());
        space.put_slice(&self.early.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Sends the request on a connection of its own and goes on raw.
pub(crate) async fn open(endpoint: &Endpoint, request: &Request) -> Result<Hijacked> {
    let label = request.label();
    let mut socket = request::dial(endpoint).await?;
    let broken = |source| Error::Stream { request: label.clone(), source };
    socket.write_all(&head_bytes(request)).await.map_err(broken)?;
    let (head, early) = read_head(&mut socket, &label).await?;
    match head.status {
        101 | 200 => {
            let (reading, writing) = tokio::io::split(socket);
            Ok(Hijacked {
                reader: ReadHalf { early, socket: reading },
                writer: WriteHalf { socket: writing },
                multiplexed: stream::multiplexed(head.header("content-type")),
            })
        }
        status => Err(read_refusal(socket, &head, early, status).await),
    }
}

fn head_bytes(request: &Request) -> Vec<u8> {
    let body = request.body.as_deref().unwrap_or_default();
    let mut bytes = format!(
        "{} {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: brig/{}\r\nConnection: Upgrade\r\n\
         Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        request.method,
        request.target,
        env!("CARGO_PKG_VERSION"),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Lines behind the first.
    lines: Vec<String>,
}

impl Head {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }
}

/// Reads up to the empty line; also gives what came behind it.
async fn read_head(socket: &mut Box<dyn Socket>, label: &str) -> Result<(Head, Bytes)> {
    let wrong = |detail| Error::Protocol { request: label.to_owned(), detail };
    let mut bytes = BytesMut::with_capacity(1024);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if bytes.len() > HEAD_LIMIT {
            return Err(wrong("its head is too long"));
        }
        let count = socket
            .read_buf(&mut bytes)
            .await
            .map_err(|source| Error::Stream { request: label.to_owned(), source })?;
        if count == 0 {
            return Err(wrong("the connection was closed"));
        }
    };
    let head = bytes.split_to(end);
    bytes.advance(4);
    let text = std::str::from_utf8(&head).map_err(|_| wrong("its head is not text"))?;
    let mut lines = text.split("\r\n").map(str::to_owned);
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| wrong("no status line"))?;
    Ok((Head { status, lines: lines.collect() }, bytes.freeze()))
}

/// Reads the body of a refusal: to its length, or (chunked) to its last brace.
async fn read_refusal(
    mut socket: Box<dyn Socket>,
    head: &Head,
    early: Bytes,
    status: u16,
) -> Error {
    let length: Option<usize> = head.header("content-length").and_then(|text| text.parse().ok());
    let mut body = BytesMut::from(early.as_ref());
    while body.len() < length.unwrap_or(HEAD_LIMIT).min(HEAD_LIMIT)
        && !(length.is_none() && body.ends_with(b"\r\n0\r\n\r\n"))
    {
        match socket.read_buf(&mut body).await {
            Ok(count) if count > 0 => {}
            // What has arrived is shown; the refusal itself is what matters.
            _ => break,
        }
    }
    let start = body.iter().position(|&byte| byte == b'{');
    let end = body.iter().rposition(|&byte| byte == b'}');
    match (length, start, end) {
        (None, Some(start), Some(end)) if start < end => {
            request::refusal(status, body.get(start..=end).unwrap_or_default())
        }
        _ => request::refusal(status, &body),
    }
}
