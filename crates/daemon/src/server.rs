//! What every route works with.

use std::sync::{Arc, Mutex, PoisonError};

use docker_api::brig::{Identity, ShutdownRequest};
use engine::Engine;
use hyper::header::{HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Call, Refusal, Reply, Service, Socket};
use crate::route;

/// The header lines that every answer carries, as they are written before a raw stream.
const HEADERS: &str = concat!(
    "Api-Version: 1.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/",
    env!("CARGO_PKG_VERSION"),
    " (linux)\r\n"
);

/// The daemon as its routes see it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) identity: Identity,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when connections are to end.
    pub(crate) closing: CancellationToken,
    /// Whoever sends here ends the daemon.
    pub(crate) shutdown: mpsc::Sender<ShutdownRequest>,
    pub(crate) last_sockets: LastSockets,
}

/// Sockets of those who wait for the daemon's end: they are closed by it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastSockets(Arc<Mutex<Vec<Socket>>>);

impl LastSockets {
    /// Keeps a socket open until the end.
    pub(crate) fn keep(&self, socket: Socket) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    }
}

impl Server {
    /// The header lines that every answer carries.
    pub(crate) fn headers(&self) -> &'static str {
        HEADERS
    }

    /// Does something to its end, even if the client leaves meanwhile.
    ///
    /// # Errors
    /// Those of the work; 500 when it panicked.
    pub(crate) async fn complete<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refusal: From<E>,
    {
        match self.tasks.spawn(work).await {
            Ok(result) => Ok(result?),
            Err(error) => {
                tracing::error!(%error, "a call failed for a reason of the program's own");
                Err(Refusal::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
            }
        }
    }
}

impl Service for Server {
    fn call(self: Arc<Self>, call: Call) -> route::Answering {
        tracing::debug!(method = %call.method, path = call.path, "call");
        route::dispatch(self, call)
    }

    fn finish(&self, reply: &mut Reply) {
        let lines = HEADERS.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        for (name, value) in lines {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                reply.headers_mut().insert(name, HeaderValue::from_static(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use docker_api::ApiVersion;

    #[test]
    fn the_version_in_the_headers_is_the_newest() {
        assert!(super::HEADERS.contains(&format!("Api-Version: {}\r\n", ApiVersion::NEWEST)));
    }
}
