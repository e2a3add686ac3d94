//! `/containers/{id}/archive`: files out of a container and into it.

use std::io::{self, Write};
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use engine::{CopyOptions, PathStat};
use hyper::header::{HeaderName, HeaderValue};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, pull};
use crate::convert::path_stat;
use crate::http::{self, Call, Refusal, Reply};
use crate::server::Server;

/// Tells what is at the path, beside the archive.
const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// How much is put into one piece, and how many wait for a slow reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;

pub(super) async fn look(server: Arc<Server>, call: Call, id: String) -> Answer {
    let stat = server.engine.containers().stat_path(&id, path(&call)?).await?;
    with_stat(http::nothing(), stat)
}

pub(super) async fn get(server: Arc<Server>, call: Call, id: String) -> Answer {
    let path = path(&call)?.to_owned();
    let (sender, receiver) = mpsc::channel(PIECES);
    let (found, stat) = oneshot::channel();
    let engine = Arc::clone(&server.engine);
    let last = sender.clone();
    let copying = server.tasks.spawn(async move {
        let output = Pieces { sender, piece: Vec::with_capacity(PIECE) };
        let copied = engine.containers().copy_out(&id, &path, found, output).await;
        if let Err(error) = &copied {
            // Behind the head nothing can be told but that it breaks off.
            drop(last.send(Err(io::Error::other(stdx::chain(error)))).await);
        }
        copied
    });
    match stat.await {
        Ok(stat) => {
            let next = |mut receiver: mpsc::Receiver<io::Result<Bytes>>| async move {
                receiver.recv().await.map(|piece| (piece, receiver))
            };
            let body = http::endless(&server.closing, receiver, next);
            with_stat(http::lines("application/x-tar", body), stat)
        }
        Err(_nothing_found) => match copying.await {
            Ok(Err(error)) => Err(error.into()),
            _ => Err(Refusal::invalid("nothing was found there")),
        },
    }
}

pub(super) async fn put(server: Arc<Server>, call: Call, id: String) -> Answer {
    let path = path(&call)?.to_owned();
    let options = CopyOptions {
        keep_directories: call.query.flag("noOverwriteDirNonDir"),
        own: call.query.flag("copyUIDGID"),
    };
    let input = pull::reader(&server, call.body);
    server.engine.containers().copy_in(&id, &path, input, options).await?;
    Ok(http::nothing())
}

fn path(call: &Call) -> Result<&str, Refusal> {
    match call.query.get("path") {
        "" => Err(Refusal::invalid("bad parameter: path cannot be empty")),
        path => Ok(path),
    }
}

fn with_stat(mut reply: Reply, stat: PathStat) -> Answer {
    let text = serde_json::to_vec(&path_stat::path_stat(stat))
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    let value = HeaderValue::try_from(text).map_err(|error| Refusal::invalid(error.to_string()))?;
    reply.headers_mut().insert(STAT, value);
    Ok(reply)
}

/// What is written, on its way to the client: as fast as that reads.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let sent = self.sender.blocking_send(Ok(piece.into()));
        sent.map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}
