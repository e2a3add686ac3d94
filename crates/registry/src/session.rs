//! One repository at one endpoint: challenges answered, tries repeated with back-off, refusals put
//! into words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode};
use stdx::Secret;

use crate::auth::challenge::{self, Challenge};
use crate::auth::{Tokens, insert_authorization};
use crate::config::{Config, Endpoint};
use crate::error::{Error, Result};
use crate::retry::{self, RetryPolicy};
use crate::transport::{Request, Transport, connection, origin};

/// The longest error document that is read, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// What a server says is quoted up to this many characters.
const MAX_DETAIL: usize = 300;
/// Failed connections in a row are fewer: a server that is not there rarely comes at once.
const CONNECTION_ATTEMPTS: u32 = 3;

/// What all sessions of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) transport: Transport,
    pub(crate) tokens: Tokens,
}

/// The image that is asked for, in its familiar form, for error texts.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// With tag or digest.
    pub(crate) image: String,
    /// Without.
    pub(crate) repository: String,
}

/// One repository at one endpoint.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    pub(crate) endpoint: Endpoint,
    pub(crate) subject: Subject,
    /// Whether another endpoint can be asked instead: then patience is short.
    alternative: bool,
}

/// What a try led to.
enum Outcome {
    Done(Response),
    Challenged(Response),
    /// Wait this long (or as the policy says) and try again.
    Again(Option<Duration>, Error, Fault),
}

/// Whose fault a failed try was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Connection,
    Server,
}

impl Session {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        subject: Subject,
        alternative: bool,
    ) -> Self {
        Self { shared, endpoint, subject, alternative }
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        let mut policy = self.shared.config.retry;
        if self.alternative {
            policy.attempts = policy.attempts.min(2);
        }
        policy
    }

    /// Sends until there is an answer worth having: success, 404 or 416. Everything else is an
    /// error.
    pub(crate) async fn send(&self, operation: &str, request: &Request) -> Result<Response> {
        let policy = self.retry_policy();
        let mut failures = 0;
        let mut answered = false;
        let mut header = None;
        loop {
            let outcome = match self.attempt(request, &mut header).await {
                Ok(Outcome::Challenged(response)) if !answered => {
                    match self.respond(response, &mut header).await {
                        Ok(()) => {
                            answered = true;
                            continue;
                        }
                        Err(error) => retry_or(error)?,
                    }
                }
                Ok(outcome) => outcome,
                Err(error) => retry_or(error)?,
            };
            match outcome {
                Outcome::Done(response) => return self.judge(operation, response).await,
                Outcome::Challenged(response) => return Err(self.denied(response).await),
                Outcome::Again(wait, error, fault) => {
                    failures += 1;
                    let wait = wait.unwrap_or_else(|| policy.delay(failures));
                    if failures >= self.attempts(fault) || wait > policy.longest_retry_after {
                        return Err(error);
                    }
                    tracing::debug!(%error, ?wait, "registry: {operation}: trying again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// [`Self::send`], and the whole answer with it; a cut in the middle is a failed try.
    pub(crate) async fn fetch(
        &self,
        operation: &str,
        request: &Request,
        limit: usize,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let mut failures = 0;
        loop {
            let response = self.send(operation, request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            match read_capped(response, limit).await {
                Ok(body) => return Ok((status, headers, body)),
                Err(error) => {
                    failures += 1;
                    if failures >= self.attempts(Fault::Server) || !error.is_transient() {
                        return Err(error);
                    }
                    tokio::time::sleep(self.retry_policy().delay(failures)).await;
                }
            }
        }
    }

    fn attempts(&self, fault: Fault) -> u32 {
        let attempts = self.retry_policy().attempts;
        match fault {
            Fault::Server => attempts,
            Fault::Connection if self.alternative => 1,
            Fault::Connection => attempts.min(CONNECTION_ATTEMPTS),
        }
    }

    async fn attempt(
        &self,
        request: &Request,
        header: &mut Option<Secret<String>>,
    ) -> Result<Outcome> {
        let shared = &self.shared;
        if header.is_none() {
            *header = shared.tokens.known(&shared.transport, &self.endpoint).await?;
        }
        let mut request = request.clone();
        if let Some(header) = header {
            insert_authorization(&mut request, header);
        }
        let access = &self.endpoint.access;
        let response = shared.transport.send(&self.endpoint.host, access, &request).await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Ok(Outcome::Challenged(response));
        }
        if !retry::is_transient(status.as_u16()) {
            return Ok(Outcome::Done(response));
        }
        let wait = wait_asked_for(&response);
        let endpoint = origin(response.url());
        let error = if status == StatusCode::TOO_MANY_REQUESTS {
            Error::RateLimited { endpoint, retry_after: wait }
        } else {
            let operation = format!("{} {}", request.method, response.url().path());
            let body = read_capped(response, MAX_ERROR).await.unwrap_or_default();
            let detail = detail_of(&body);
            Error::Status { endpoint, status: status.as_u16(), operation, detail }
        };
        Ok(Outcome::Again(wait, error, Fault::Server))
    }

    /// Answers a challenge; the header to send next is put in place.
    async fn respond(&self, response: Response, header: &mut Option<Secret<String>>) -> Result<()> {
        let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = challenge::parse(values.filter_map(|value| value.to_str().ok()));
        let Some(challenge) = challenge else { return Err(self.denied(response).await) };
        let basic = challenge == Challenge::Basic;
        let shared = &self.shared;
        let answer =
            shared.tokens.answer(&shared.transport, &self.endpoint, challenge, header.as_ref());
        let answer = answer.await.map_err(|error| self.explain(error))?;
        match answer {
            Some(next) if Some(&next) != header.as_ref() => *header = Some(next),
            None if basic && self.endpoint.credentials.is_none() => {
                let detail = ": no basic auth credentials".to_owned();
                let repository = self.subject.repository.clone();
                return Err(Error::AccessDenied { repository, detail });
            }
            _ => return Err(self.denied(response).await),
        }
        Ok(())
    }

    /// A token server that refuses us without credentials says that the repository is not public.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Unauthorized { detail, .. } if self.endpoint.credentials.is_none() => {
                Error::AccessDenied { repository: self.subject.repository.clone(), detail }
            }
            other => other,
        }
    }

    async fn judge(&self, operation: &str, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success()
            || matches!(status, StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE)
        {
            return Ok(response);
        }
        if status == StatusCode::FORBIDDEN {
            return Err(self.denied(response).await);
        }
        let endpoint = origin(response.url());
        let body = read_capped(response, MAX_ERROR).await.unwrap_or_default();
        let (status, operation) = (status.as_u16(), operation.to_owned());
        Err(Error::Status { endpoint, status, operation, detail: detail_of(&body) })
    }

    /// 401 or 403 as an error: of the repository, or of the password.
    async fn denied(&self, response: Response) -> Error {
        let status = response.status();
        let endpoint = origin(response.url());
        let basic = response.headers().get_all(WWW_AUTHENTICATE).iter().any(|value| {
            value.to_str().is_ok_and(|text| text.to_ascii_lowercase().starts_with("basic"))
        });
        let body = read_capped(response, MAX_ERROR).await.unwrap_or_default();
        let detail = detail_of(&body);
        if status == StatusCode::UNAUTHORIZED && basic {
            return Error::Unauthorized { endpoint, detail };
        }
        Error::AccessDenied { repository: self.subject.repository.clone(), detail }
    }
}

/// Another try for a broken connection and an overloaded token server; the error itself for all
/// others.
fn retry_or(error: Error) -> Result<Outcome> {
    match error {
        Error::Connection { transient: true, .. } => {
            Ok(Outcome::Again(None, error, Fault::Connection))
        }
        Error::RateLimited { retry_after, .. } => {
            Ok(Outcome::Again(retry_after, error, Fault::Server))
        }
        error if error.is_transient() => Ok(Outcome::Again(None, error, Fault::Server)),
        error => Err(error),
    }
}

/// How long a server asks us to stay away.
pub(crate) fn wait_asked_for(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry::parse_retry_after(value, SystemTime::now())
}

/// Reads a whole answer that must not be longer than `limit` bytes.
pub(crate) async fn read_capped(mut response: Response, limit: usize) -> Result<Bytes> {
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| connection(&url, &error))? {
        if body.len() + chunk.len() > limit {
            let reason = format!("its answer is longer than {limit} bytes");
            return Err(Error::Connection { endpoint: origin(&url), reason, transient: false });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

#[derive(serde::Deserialize)]
struct ErrorDocument {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
    #[serde(default, alias = "error_description", alias = "message")]
    details: Option<String>,
}

#[derive(serde::Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// `": code: message"` of an error document (distribution specification, "Error codes"), or
/// nothing; control characters taken out.
pub(crate) fn detail_of(body: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<ErrorDocument>(body) else {
        return String::new();
    };
    let text = document.errors.first().map(|error| {
        let code = error.code.to_ascii_lowercase().replace('_', " ");
        if error.message.is_empty() { code } else { format!("{code}: {}", error.message) }
    });
    let Some(text) = text.or(document.details).filter(|text| !text.is_empty()) else {
        return String::new();
    };
    let clean = text.chars().filter(|character| !character.is_control()).take(MAX_DETAIL);
    format!(": {}", clean.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::detail_of;

    #[test]
    fn error_documents_are_quoted_briefly() {
        let body =
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\u001b unknown"}]}"#;
        assert_eq!(detail_of(body), ": manifest unknown: manifest unknown");
        assert_eq!(detail_of(br#"{"details":"incorrect username"}"#), ": incorrect username");
        assert_eq!(detail_of(b"<html>"), "");
        assert_eq!(detail_of(br#"{"errors":[]}"#), "");
    }
}
