//! The bytes of one blob, whatever happens to the connection.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use oci::Digest;
use oci::manifest::Descriptor;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};

use crate::error::{Error, Result};
use crate::resolve::Resolved;
use crate::session::Session;
use crate::transport::{Request, connection, origin};

/// The bytes of a blob from an offset to its end, in order.
///
/// A cut connection is resumed where it broke; when an endpoint fails for good, the next one goes
/// on. The size is checked here; the digest by whoever has all the bytes.
pub struct BlobStream {
    sessions: Vec<Arc<Session>>,
    current: usize,
    digest: Digest,
    size: u64,
    position: u64,
    /// Bytes that a server sends although they are not wanted.
    skip: u64,
    response: Option<Response>,
    failures: u32,
    outages: u32,
    /// Whether one of them has answered before, so that it is worth while to wait for them.
    proven: bool,
    /// Whether one of them may be back later, since the first was tried last.
    hope: bool,
    resumptions: u32,
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BlobStream")
            .field("digest", &self.digest)
            .field("position", &self.position)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    pub(crate) fn new(resolved: &Resolved, descriptor: &Descriptor, offset: u64) -> Self {
        Self::of(resolved.sessions.clone(), resolved.proven, descriptor, offset)
    }

    /// From one endpoint, of which nothing is known yet.
    pub(crate) fn first(session: &Arc<Session>, descriptor: &Descriptor) -> Self {
        Self::of(vec![Arc::clone(session)], false, descriptor, 0)
    }

    fn of(sessions: Vec<Arc<Session>>, proven: bool, descriptor: &Descriptor, offset: u64) -> Self {
        Self {
            sessions,
            current: 0,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            position: offset,
            skip: 0,
            response: None,
            failures: 0,
            outages: 0,
            proven,
            hope: false,
            resumptions: 0,
        }
    }

    /// Where the next piece begins, in bytes from the blob's start.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// How often the connection had to be made again.
    #[must_use]
    pub const fn resumptions(&self) -> u32 {
        self.resumptions
    }

    /// The next piece; `None` after the last. After an error the stream is at its end.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        match self.advance().await {
            Ok(piece) => piece.map(Ok),
            Err(error) => {
                self.size = self.position;
                self.response = None;
                Some(Err(error))
            }
        }
    }

    /// The whole rest, which must not be longer than `limit` bytes and must be the whole blob.
    pub(crate) async fn collect(mut self, limit: u64) -> Result<Vec<u8>> {
        let (size, digest) = (self.size, self.digest.clone());
        let endpoint = self.endpoint();
        if size > limit {
            let digest = digest.to_string();
            return Err(Error::SizeMismatch { endpoint, digest, expected: limit, actual: size });
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await {
            bytes.extend_from_slice(&piece?);
        }
        if !digest.matches(&bytes) {
            let mut hasher = digest.hasher();
            hasher.update(&bytes);
            let actual = hasher.finish().to_string();
            return Err(Error::DigestMismatch { endpoint, expected: digest.to_string(), actual });
        }
        Ok(bytes)
    }

    async fn advance(&mut self) -> Result<Option<Bytes>> {
        while self.position < self.size {
            let Some(response) = &mut self.response else {
                match self.open().await {
                    Ok(response) => self.response = Some(response),
                    Err(error) => self.away(error).await?,
                }
                continue;
            };
            let url = response.url().clone();
            match response.chunk().await {
                Ok(Some(piece)) => match self.take(piece) {
                    Ok(Some(piece)) => return Ok(Some(piece)),
                    Ok(None) => {}
                    Err(error) => self.leave_endpoint(error)?,
                },
                Ok(None) => self.cut(self.wrong_size(self.position)).await?,
                Err(error) => self.cut(connection(&url, &error)).await?,
            }
        }
        self.response = None;
        Ok(None)
    }

    /// What of a received piece is wanted.
    fn take(&mut self, mut piece: Bytes) -> Result<Option<Bytes>> {
        let unwanted = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
        self.skip -= unwanted as u64;
        let piece = piece.split_off(unwanted);
        if piece.is_empty() {
            return Ok(None);
        }
        let end = self.position + piece.len() as u64;
        if end > self.size {
            return Err(self.wrong_size(end));
        }
        self.position = end;
        self.failures = 0;
        self.outages = 0;
        self.proven = true;
        Ok(Some(piece))
    }

    /// The connection ended too early: wait and go on, or give up.
    async fn cut(&mut self, error: Error) -> Result<()> {
        self.response = None;
        self.failures += 1;
        self.resumptions += 1;
        let policy = self.session().retry_policy();
        if self.failures >= policy.attempts || self.resumptions > policy.resumptions {
            return self.leave_endpoint(error);
        }
        tracing::debug!(%error, digest = %self.digest, at = self.position, "registry: resuming");
        tokio::time::sleep(policy.delay(self.failures)).await;
        Ok(())
    }

    /// An endpoint gives no answer worth having: ask the next one. After the last, wait for all of
    /// them, unless nothing is to be hoped for.
    async fn away(&mut self, error: Error) -> Result<()> {
        self.hope |= self.proven && error.is_transient();
        let policy = self.session().retry_policy();
        if self.current + 1 < self.sessions.len() || !self.hope || self.outages >= policy.outages {
            return self.leave_endpoint(error);
        }
        self.outages += 1;
        tracing::debug!(%error, digest = %self.digest, at = self.position, "registry: waiting");
        tokio::time::sleep(policy.delay(self.outages)).await;
        (self.current, self.hope, self.failures) = (0, false, 0);
        Ok(())
    }

    /// Goes on at the next endpoint; the error when there is none.
    fn leave_endpoint(&mut self, error: Error) -> Result<()> {
        if self.current + 1 >= self.sessions.len() {
            return Err(error);
        }
        tracing::warn!(%error, "registry: leaving a mirror in the middle of a pull");
        self.hope |= self.proven && error.is_transient();
        self.current += 1;
        self.failures = 0;
        self.response = None;
        Ok(())
    }

    async fn open(&mut self) -> Result<Response> {
        let session = Arc::clone(self.session());
        let path = format!("/v2/{}/blobs/{}", session.endpoint.repository, self.digest);
        let mut request = Request::new(Method::GET, path);
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            if let Ok(value) = HeaderValue::from_str(&range) {
                request.headers.insert(RANGE, value);
            }
        }
        let response = session.send("fetching a blob", &request).await?;
        let endpoint = origin(response.url());
        self.skip = match response.status() {
            StatusCode::NOT_FOUND => {
                return Err(Error::BlobUnknown { digest: self.digest.to_string(), endpoint });
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(self.wrong_size(self.position)),
            StatusCode::PARTIAL_CONTENT => {
                let start = range_start(&response).unwrap_or(self.position);
                self.position.checked_sub(start).ok_or_else(|| self.wrong_size(start))?
            }
            _ => self.position,
        };
        if let Some(length) = response.content_length() {
            let total = length + self.position - self.skip;
            if total != self.size {
                return Err(self.wrong_size(total));
            }
        }
        Ok(response)
    }

    fn session(&self) -> &Arc<Session> {
        &self.sessions[self.current.min(self.sessions.len() - 1)]
    }

    fn endpoint(&self) -> String {
        self.session().endpoint.host.clone()
    }

    fn wrong_size(&self, actual: u64) -> Error {
        let digest = self.digest.to_string();
        Error::SizeMismatch { endpoint: self.endpoint(), digest, expected: self.size, actual }
    }
}

/// Where a partial answer begins: `Content-Range: bytes START-…`.
fn range_start(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
