//! One connection, from its acceptance to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::socket::{Guarded, Slot, Socket};
use super::{Call, Refusal, Reply};

/// The most hyper reads at once, bytes.
const BUFFER: usize = 64 << 10;

/// Answers calls.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call; a refusal becomes Docker's error body.
    fn call(
        self: Arc<Self>,
        call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

    /// Adds what every reply carries.
    fn finish(&self, reply: &mut Reply);
}

/// Serves a connection until its client closes it, it becomes raw and ends, or `closing`: then
/// running calls are answered first.
pub(crate) async fn serve<S: Service>(service: Arc<S>, socket: Socket, closing: CancellationToken) {
    let slot = Arc::new(Slot::default());
    let io = TokioIo::new(Guarded::new(socket, Arc::clone(&slot)));
    let calls_slot = Arc::clone(&slot);
    let calls =
        service_fn(move |request| answer(Arc::clone(&service), request, Arc::clone(&calls_slot)));
    let mut connection = http1::Builder::new().max_buf_size(BUFFER).serve_connection(io, calls);
    let ended = {
        let mut closed = pin!(closing.cancelled());
        let mut asked = false;
        poll_fn(|context| {
            if !asked && closed.as_mut().poll(context).is_ready() {
                asked = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        })
        .await
    };
    match slot.taken() {
        Some((head, session)) => {
            let parts = connection.into_parts();
            let socket = parts.io.into_inner().socket;
            take_over(socket, parts.read_buf, head, session, closing).await;
        }
        None => {
            if let Err(error) = ended {
                tracing::debug!(error = %stdx::chain(&error), "connection broke off");
            }
        }
    }
}

/// Runs the session of a connection that was taken over.
async fn take_over(
    mut socket: Socket,
    early: Bytes,
    head: Bytes,
    session: super::Session,
    closing: CancellationToken,
) {
    if let Err(error) = socket.write_all(&head).await {
        tracing::debug!(%error, "a client left before its stream began");
    }
    socket.until_read().await;
    tokio::select! {
        () = session(socket, early) => {}
        () = closing.cancelled() => {}
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

fn answer<S: Service>(service: Arc<S>, request: Request<Incoming>, slot: Arc<Slot>) -> Answer {
    let path = request.uri().path();
    if request.method() == Method::POST && (path.ends_with("/attach") || path.ends_with("/start")) {
        slot.set_open_ended(true);
    }
    Box::pin(async move {
        let answered = match Call::new(request, Arc::clone(&slot)) {
            Ok(call) => Arc::clone(&service).call(call).await,
            Err(refusal) => Err(refusal),
        };
        let mut reply = answered.unwrap_or_else(Refusal::into_reply);
        slot.set_open_ended(false);
        service.finish(&mut reply);
        Ok(reply)
    })
}
