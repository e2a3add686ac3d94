//! A thin client: HTTP/1.1 over a unix or TCP socket.
//!
//! One idle connection is kept and used again; a call that finds it busy opens another. Attached
//! streams always have a connection of their own.

mod endpoint;
mod hijack;
mod request;
mod stream;

use std::sync::{Mutex, PoisonError};

use base64::Engine;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;
use tokio_util::task::TaskTracker;

pub use endpoint::Endpoint;
pub use hijack::{Hijacked, ReadHalf, WriteHalf};
pub use stream::{ByteStream, Lines};

use self::request::{Request, SendError, Sender};
use crate::system::{AuthConfig, Ping};
use crate::{ApiVersion, Error, Query, Result};

/// A client of one daemon. Cheap to make: nothing is opened before the first call.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    version: Mutex<ApiVersion>,
    idle: Mutex<Option<Sender>>,
    tracker: TaskTracker,
}

impl Client {
    /// A client that speaks [`ApiVersion::NEWEST`] until [`Client::negotiate`] says otherwise.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            version: Mutex::new(ApiVersion::NEWEST),
            idle: Mutex::new(None),
            tracker: TaskTracker::new(),
        }
    }

    /// Where the daemon is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The version spoken.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the first connection, so that a missing daemon is noticed before any work.
    ///
    /// # Errors
    /// [`Error::Connect`] when nothing answers.
    pub async fn connect(&self) -> Result<()> {
        let sender = request::connect(&self.endpoint, &self.tracker).await?;
        self.keep(sender);
        Ok(())
    }

    /// Asks the daemon for its version and speaks that, if it is older than ours. Not needed
    /// with a daemon of our own version.
    ///
    /// # Errors
    /// As every call.
    pub async fn negotiate(&self) -> Result<Ping> {
        let (response, sender) =
            self.exchange(&self.request(Method::GET, "/_ping", &Query::new())).await?;
        let text = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let ping = Ping {
            api_version: text("api-version").parse().ok(),
            os_type: text("ostype"),
            experimental: text("docker-experimental") == "true",
            server: text("server"),
        };
        request::collect("GET /_ping", response.into_body()).await?;
        self.keep(sender);
        // A server that does not say is as old as the oldest.
        let offered = ping.api_version.unwrap_or(ApiVersion::OLDEST);
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) =
            offered.min(ApiVersion::NEWEST);
        Ok(ping)
    }

    /// `GET path`, the answer's JSON. `path` begins with a slash and has no version.
    ///
    /// # Errors
    /// [`Error::Refused`] with the daemon's message, or what broke on the way.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T> {
        self.json(self.request(Method::GET, path, query)).await
    }

    /// `GET path`, the answer's bytes, for output that must be passed on unchanged.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn get_bytes(&self, path: &str, query: &Query) -> Result<Bytes> {
        self.bytes(&self.request(Method::GET, path, query)).await.map(|(_, bytes)| bytes)
    }

    /// `POST path` with a JSON body, the answer's JSON (`()` where there is none).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let mut request = self.request(Method::POST, path, query);
        request.body = Some(encode(&request, body)?);
        self.json(request).await
    }

    /// `POST path` without a body; the status (204, or 304 when there was nothing to do).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_empty(&self, path: &str, query: &Query) -> Result<u16> {
        self.bytes(&self.request(Method::POST, path, query)).await.map(|(status, _)| status)
    }

    /// `DELETE path`, the answer's JSON (`()` where there is none).
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T> {
        self.json(self.request(Method::DELETE, path, query)).await
    }

    /// A stream of bytes (`logs`): `GET path`.
    ///
    /// # Errors
    /// As [`Client::get`]; later failures come out of the stream.
    pub async fn stream(&self, path: &str, query: &Query) -> Result<ByteStream> {
        self.open(self.request(Method::GET, path, query)).await
    }

    /// A stream of JSON documents (`events`, `stats`): `GET path`.
    ///
    /// # Errors
    /// As [`Client::get`]; later failures come out of the stream.
    pub async fn lines<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<Lines<T>> {
        self.stream(path, query).await.map(Lines::new)
    }

    /// A stream of JSON documents from `POST path` (`images/create`, `containers/{id}/wait`).
    /// Returns once the answer's head is here; `auth` becomes `X-Registry-Auth`.
    ///
    /// # Errors
    /// As [`Client::get`]; later failures come out of the stream.
    pub async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        auth: Option<&AuthConfig>,
    ) -> Result<Lines<T>> {
        let mut request = self.request(Method::POST, path, query);
        if let Some(auth) = auth {
            let json = encode(&request, auth)?;
            let text = base64::engine::general_purpose::URL_SAFE.encode(json);
            request.headers.push(("X-Registry-Auth", text));
        }
        self.open(request).await.map(Lines::new)
    }

    /// Sends a stream (`images/load`) and reads the answer as JSON documents.
    ///
    /// # Errors
    /// As [`Client::get`]; a failure to read `body` breaks the request off.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        body: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Lines<T>> {
        let mut request = self.request(Method::POST, path, query);
        request.headers.push(("Content-Type", "application/x-tar".to_owned()));
        let label = request.label();
        let mut sender = request::connect(&self.endpoint, &self.tracker).await?;
        let payload = request::ReaderBody::new(body).boxed_unsync();
        let sent = request::send(&mut sender, &request, Some(payload)).await;
        let response = sent.map_err(|error| error.or_closed(&label))?;
        let response = request::accept(&label, response).await?;
        Ok(Lines::new(ByteStream::new(label, response, sender)))
    }

    /// Turns a connection into the raw stream of `attach` or `exec start`: `POST path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn hijack(
        &self,
        path: &str,
        query: &Query,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Hijacked> {
        let mut request = self.request(Method::POST, path, query);
        if let Some(body) = body {
            request.body = Some(encode(&request, body)?);
        }
        hijack::open(&self.endpoint, &request).await
    }

    fn request(&self, method: Method, path: &str, query: &Query) -> Request {
        let mut target = if path.starts_with("/brig/") || path == "/_ping" {
            path.to_owned()
        } else {
            format!("/v{}{path}", self.version())
        };
        if !query.as_str().is_empty() {
            target.push('?');
            target.push_str(query.as_str());
        }
        Request { method, target, headers: Vec::new(), body: None }
    }

    /// Sends over the kept connection, or over a new one when that is busy or closed.
    async fn exchange(&self, request: &Request) -> Result<(Response<Incoming>, Sender)> {
        let label = request.label();
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut sender) = kept {
            match request::send(&mut sender, request, None).await {
                Ok(response) => return Ok((request::accept(&label, response).await?, sender)),
                Err(SendError::Stale) => {}
                Err(SendError::Final(error)) => return Err(error),
            }
        }
        let mut sender = request::connect(&self.endpoint, &self.tracker).await?;
        let sent = request::send(&mut sender, request, None).await;
        let response = sent.map_err(|error| error.or_closed(&label))?;
        Ok((request::accept(&label, response).await?, sender))
    }

    async fn bytes(&self, request: &Request) -> Result<(u16, Bytes)> {
        let (response, sender) = self.exchange(request).await?;
        let status = response.status().as_u16();
        let bytes = request::collect(&request.label(), response.into_body()).await?;
        self.keep(sender);
        Ok((status, bytes))
    }

    async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let (_, bytes) = self.bytes(&request).await?;
        let text = if bytes.trim_ascii().is_empty() { b"null".as_slice() } else { &bytes };
        serde_json::from_slice(text)
            .map_err(|source| Error::Decode { request: request.label(), source })
    }

    async fn open(&self, request: Request) -> Result<ByteStream> {
        let (response, sender) = self.exchange(&request).await?;
        Ok(ByteStream::new(request.label(), response, sender))
    }

    fn keep(&self, sender: Sender) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }
}

impl SendError {
    /// On a connection of its own, a request is never stale.
    fn or_closed(self, label: &str) -> Error {
        match self {
            Self::Final(error) => error,
            Self::Stale => {
                Error::Protocol { request: label.to_owned(), detail: "the connection was closed" }
            }
        }
    }
}

fn encode(request: &Request, body: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|source| Error::Encode { request: request.label(), source })
}
