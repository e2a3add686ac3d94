//! One call of a client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use docker_api::ApiVersion;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use super::socket::{Session, Slot};
use super::{Body, Parameters, Refusal, Reply, query};

/// The largest JSON body accepted, bytes.
const BODY_LIMIT: usize = 16 << 20;
/// A body that was announced must arrive in this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// One call: its address taken apart, its body not yet read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path without version, decoded, begins with a slash.
    pub(crate) path: String,
    pub(crate) query: Parameters,
    /// The version asked for, the newest when none is.
    pub(crate) version: ApiVersion,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    slot: Arc<Slot>,
}

impl Call {
    /// Takes a request apart.
    ///
    /// # Errors
    /// 400 for a version outside the served range.
    pub(crate) fn new(request: hyper::Request<Incoming>, slot: Arc<Slot>) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let (version, path) = split_version(head.uri.path())?;
        let path = query::decode(path, false).into_owned();
        let query = Parameters::parse(head.uri.query().unwrap_or_default());
        Ok(Self { method: head.method, path, query, version, headers: head.headers, body, slot })
    }

    /// The body of at most 16 MiB.
    ///
    /// # Errors
    /// 413 when it is larger, 400 when it breaks off.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes, Refusal> {
        let body = Limited::new(&mut self.body, BODY_LIMIT).collect();
        match tokio::time::timeout(BODY_TIME, body).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"))
            }
            Ok(Err(error)) => Err(Refusal::invalid(format!("request body broke off: {error}"))),
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "request body did not arrive")),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400 when there is none or it is not what is expected.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Refusal> {
        let bytes = self.bytes().await?;
        if bytes.trim_ascii().is_empty() {
            return Err(Refusal::invalid("invalid JSON: got EOF while reading request body"));
        }
        decode(&bytes)
    }

    /// The body as JSON, its default when there is no body.
    ///
    /// # Errors
    /// 400 when it is not what is expected.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(
        &mut self,
    ) -> Result<T, Refusal> {
        let bytes = self.bytes().await?;
        if bytes.trim_ascii().is_empty() { Ok(T::default()) } else { decode(&bytes) }
    }

    /// Takes the connection over for a raw stream: 101 when the client asked for an upgrade, 200
    /// otherwise. What is returned must be answered; the client never sees it.
    pub(crate) fn take_over(&self, content_type: &str, extra: &str, session: Session) -> Reply {
        let head = if self.headers.contains_key(UPGRADE) {
            format!(
                "HTTP/1.1 101 UPGRADED\r\nContent-Type: {content_type}\r\nConnection: Upgrade\r\n\
                 Upgrade: tcp\r\n{extra}\r\n"
            )
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{extra}\r\n")
        };
        self.hand_over(head, session)
    }

    /// Takes the connection over for an answer without a body, which ends when the session drops
    /// the socket.
    pub(crate) fn answer_until_the_end(&self, extra: &str, session: Session) -> Reply {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{extra}\r\n"
        );
        self.hand_over(head, session)
    }

    /// What is returned is swallowed by the muted socket.
    fn hand_over(&self, head: String, session: Session) -> Reply {
        self.slot.take_over(head.into(), session);
        let mut reply = Reply::new(Body::Whole(None));
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        reply
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))
}

/// Splits `/v1.41/path` into version and path.
fn split_version(path: &str) -> Result<(ApiVersion, &str), Refusal> {
    let newest = ApiVersion::NEWEST;
    let Some(rest) = path.strip_prefix("/v") else { return Ok((newest, path)) };
    let Some((text, _)) = rest.split_once('/') else { return Ok((newest, path)) };
    let Ok(version) = text.parse::<ApiVersion>() else { return Ok((newest, path)) };
    if version < ApiVersion::OLDEST {
        return Err(Refusal::invalid(format!(
            "client version {version} is too old. Minimum supported API version is {}, please \
             upgrade your client to a newer version",
            ApiVersion::OLDEST
        )));
    }
    if version > newest {
        return Err(Refusal::invalid(format!(
            "client version {version} is too new. Maximum supported API version is {newest}"
        )));
    }
    Ok((version, rest.get(text.len()..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use docker_api::ApiVersion;

    use super::split_version;

    #[test]
    fn versions() {
        assert_eq!(split_version("/v1.41/info").unwrap(), (ApiVersion::v1(41), "/info"));
        for path in ["/info", "/volumes", "/v1.41", "/version/x", "/vx/info"] {
            assert_eq!(split_version(path).unwrap(), (ApiVersion::NEWEST, path));
        }
        let message = split_version("/v1.99/info").unwrap_err().message;
        assert_eq!(
            message,
            "client version 1.99 is too new. Maximum supported API version is 1.51"
        );
        assert!(split_version("/v1.12/info").unwrap_err().message.contains("is too old"));
    }
}
