//! Errors of the client, and the error body of the API.

use std::io;

use stdx::ErrorKind;

use crate::lenient::wire;

wire! {
    /// The body of every failed request: `{"message":"…"}`.
    pub struct ErrorResponse {
        /// What went wrong, for people; some clients match on the text.
        #[serde(rename = "message")]
        pub message: String,
    }
}

/// Result of a call of the client.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the daemon cannot be understood.
    #[error("unable to parse docker host `{0}`")]
    Endpoint(String),
    /// Nothing answers at the address.
    #[error("cannot connect to the daemon at {endpoint}")]
    Connect {
        /// The address, as `unix://…` or `tcp://…`.
        endpoint: String,
        /// The failure of the connection.
        source: io::Error,
    },
    /// The request or its answer broke off.
    #[error("request {request} broke off")]
    Transport {
        /// Method and path.
        request: String,
        /// The cause in the HTTP layer.
        #[source]
        source: Box<hyper::Error>,
    },
    /// Reading or writing a stream failed.
    #[error("stream of {request} failed")]
    Stream {
        /// Method and path.
        request: String,
        /// The failure of the socket.
        source: io::Error,
    },
    /// The request could not be put together.
    #[error("request {request} is malformed")]
    Malformed {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        #[source]
        source: hyper::http::Error,
    },
    /// The body could not be written as JSON.
    #[error("body of {request} cannot be written as JSON")]
    Encode {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is not the JSON expected.
    #[error("answer to {request} is not understood")]
    Decode {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is not HTTP as it should be.
    #[error("answer to {request} is not HTTP: {detail}")]
    Protocol {
        /// Method and path.
        request: String,
        /// What was found instead.
        detail: &'static str,
    },
    /// The daemon refused; the text is its own.
    #[error("{message}")]
    Refused {
        /// HTTP status, 400 and above.
        status: u16,
        /// The daemon's message.
        message: String,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Endpoint(_) | Self::Malformed { .. } | Self::Encode { .. } => {
                ErrorKind::InvalidInput
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::PermissionDenied
            }
            Self::Connect { .. } | Self::Transport { .. } | Self::Stream { .. } => {
                ErrorKind::Unavailable
            }
            Self::Decode { .. } | Self::Protocol { .. } => ErrorKind::Internal,
            Self::Refused { status, .. } => match status {
                400 => ErrorKind::InvalidInput,
                401 | 403 => ErrorKind::PermissionDenied,
                404 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                501 => ErrorKind::Unsupported,
                503 => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            },
        }
    }

    /// The HTTP status the daemon refused with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}
