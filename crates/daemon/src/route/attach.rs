//! `POST /containers/{id}/attach`, and raw streams in general.

use std::sync::Arc;
use std::time::Duration;

use docker_api::{ApiVersion, frame};
use engine::container::AttachRequest;
use engine::{AttachEnd, AttachSession};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Answer;
use crate::http::{Call, Reply, Session, Socket};
use crate::server::Server;

/// The first version whose content type tells multiplexed streams.
const TELLS_FRAMES: ApiVersion = ApiVersion::v1(42);
/// How long a client may read the end of a stream.
const LINGER: Duration = Duration::from_secs(10);

pub(super) async fn attach(server: Arc<Server>, call: Call, id: String) -> Answer {
    let query = &call.query;
    let request = AttachRequest {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.non_empty("detachKeys").map(str::to_owned),
    };
    let session = server.engine.containers().attach(&id, request).await?;
    let engine = Arc::clone(&server.engine);
    let detached = move || engine.containers().detached(&id);
    Ok(take_over(&server, &call, session, detached))
}

/// Content type of a stream to a client of this version.
pub(super) fn content_type(terminal: bool, version: ApiVersion) -> &'static str {
    if !terminal && version >= TELLS_FRAMES { frame::MULTIPLEXED_STREAM } else { frame::RAW_STREAM }
}

/// Gives the connection to a session; `detached` is called when its client leaves by the keys.
pub(super) fn take_over(
    server: &Server,
    call: &Call,
    session: AttachSession,
    detached: impl FnOnce() + Send + 'static,
) -> Reply {
    let kind = content_type(session.terminal(), call.version);
    call.take_over(kind, server.headers(), run(session, detached))
}

/// Ends the output and takes in what the client still sends, until it leaves: a unix socket closed
/// with unread bytes would fail the client's reading of the last output.
async fn part(socket: &mut Socket) {
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut unread = [0; 512];
    let drained = async { while matches!(socket.read(&mut unread).await, Ok(1..)) {} };
    // A client that stays has had time to read.
    let _left = tokio::time::timeout(LINGER, drained).await;
}

fn run(session: AttachSession, detached: impl FnOnce() + Send + 'static) -> Session {
    Box::new(move |socket, early| {
        Box::pin(async move {
            let mut socket = socket;
            let result = match &mut socket {
                Socket::Unix(stream) => {
                    let (reader, writer) = stream.split();
                    session.serve(early.chain(reader), writer).await
                }
                Socket::Tcp(stream) => {
                    let (reader, writer) = stream.split();
                    session.serve(early.chain(reader), writer).await
                }
            };
            match result {
                Ok(AttachEnd::Gone) => {}
                Ok(AttachEnd::Finished) => part(&mut socket).await,
                Ok(AttachEnd::Detached) => {
                    detached();
                    part(&mut socket).await;
                }
                Err(error) => {
                    tracing::debug!(error = %stdx::chain(&error), "attached stream failed");
                }
            }
        })
    })
}
