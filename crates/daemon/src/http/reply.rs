//! Replies and refusals.

use std::io;

use bytes::Bytes;
use docker_api::ErrorResponse;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use stdx::ErrorKind;

use super::Body;

/// What a route answers.
pub(crate) type Reply = Response<Body>;

/// A call that is not done: a status with Docker's error body.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 501: known to Docker, not done here.
    pub(crate) fn not_implemented(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{what} is not implemented by brig yet"))
    }

    /// The reply; 304 has no body.
    pub(crate) fn into_reply(self) -> Reply {
        if self.status == StatusCode::NOT_MODIFIED {
            return with_status(self.status, Body::Whole(None), None);
        }
        json_with(self.status, &ErrorResponse { message: self.message })
    }
}

/// The status that a kind of error is answered with.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Exhausted | ErrorKind::Cancelled | ErrorKind::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// 200 with JSON.
pub(crate) fn json(value: &impl Serialize) -> Reply {
    json_with(StatusCode::OK, value)
}

/// 201 with JSON.
pub(crate) fn created(value: &impl Serialize) -> Reply {
    json_with(StatusCode::CREATED, value)
}

/// 200 without content.
pub(crate) fn nothing() -> Reply {
    with_status(StatusCode::OK, Body::Whole(None), None)
}

/// 204.
pub(crate) fn empty() -> Reply {
    with_status(StatusCode::NO_CONTENT, Body::Whole(None), None)
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Reply {
    with_status(
        status,
        Body::Whole(Some(Bytes::from_static(text.as_bytes()))),
        Some(HeaderValue::from_static("text/plain; charset=utf-8")),
    )
}

/// 200 with a stream of this content type.
pub(crate) fn lines(content_type: &'static str, body: Body) -> Reply {
    with_status(StatusCode::OK, body, Some(HeaderValue::from_static(content_type)))
}

/// One document of a stream of JSON.
///
/// # Errors
/// When it cannot be written as JSON; the stream then breaks off.
pub(crate) fn line(value: &impl Serialize) -> io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn json_with(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            let kind = HeaderValue::from_static("application/json");
            with_status(status, Body::Whole(Some(bytes.into())), Some(kind))
        }
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written as JSON");
            with_status(StatusCode::INTERNAL_SERVER_ERROR, Body::Whole(None), None)
        }
    }
}

fn with_status(status: StatusCode, body: Body, content_type: Option<HeaderValue>) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    if let Some(content_type) = content_type {
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    reply
}
