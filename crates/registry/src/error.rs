//! What can go wrong between us and a registry, in words that name the image and the endpoint.

use std::sync::Arc;
use std::time::Duration;

use stdx::ErrorKind;

/// A failed registry operation.
///
/// Cloneable, so that several callers waiting for the same download all get it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A configuration text (ours or somebody else's) does not say what it should.
    #[error("invalid {what}: {reason}")]
    Configuration {
        /// Which text, for example `registries.conf`.
        what: &'static str,
        /// What is wrong in it.
        reason: String,
    },
    /// A certificate authority's file cannot be used.
    #[error("cannot use the certificate authority {path}")]
    Certificate {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The configuration forbids this registry.
    #[error("registry {registry} is blocked in the registries configuration")]
    Blocked {
        /// The registry, or the prefix that is blocked.
        registry: String,
    },
    /// No connection, a broken one, or a TLS failure.
    #[error("cannot reach registry {endpoint}: {reason}")]
    Connection {
        /// Scheme, host and port.
        endpoint: String,
        /// In words: refused, timed out, the certificate's fault…
        reason: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// The manifest's tag or digest does not exist.
    #[error("manifest for {image} not found: manifest unknown")]
    ManifestUnknown {
        /// The image in its familiar form.
        image: String,
    },
    /// The repository does not exist or may not be read.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require 'docker login'{detail}"
    )]
    AccessDenied {
        /// The repository in its familiar form.
        repository: String,
        /// `": "` and what the registry said, or nothing.
        detail: String,
    },
    /// The credentials were refused by the registry or its token server.
    #[error("unauthorized: {endpoint} refused the credentials{detail}")]
    Unauthorized {
        /// Who refused.
        endpoint: String,
        /// `": "` and what it said, or nothing.
        detail: String,
    },
    /// The token server or its answer is not acceptable.
    #[error("cannot get a token from {realm}: {reason}")]
    Token {
        /// The token server's address.
        realm: String,
        /// Why.
        reason: String,
    },
    /// A blob the manifest names is missing.
    #[error("blob {digest} is unknown to {endpoint}")]
    BlobUnknown {
        /// The digest.
        digest: String,
        /// Who was asked.
        endpoint: String,
    },
    /// The registry asks us to come back later than we are willing to wait.
    #[error("toomanyrequests: {endpoint} limits the rate of requests{}", after(*.retry_after))]
    RateLimited {
        /// Who limits.
        endpoint: String,
        /// When it would answer again.
        retry_after: Option<Duration>,
    },
    /// A status that none of the above explains.
    #[error("{endpoint} answered {status} to {operation}{detail}")]
    Status {
        /// Who answered.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What was asked.
        operation: String,
        /// `": "` and what it said, or nothing.
        detail: String,
    },
    /// The bytes do not have the digest they were asked by.
    #[error("{endpoint} sent bytes that are not {expected} but {actual}")]
    DigestMismatch {
        /// Who sent them.
        endpoint: String,
        /// The digest asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// The bytes do not have the size the descriptor states.
    #[error("{endpoint} sent {actual} bytes of {digest}, which has {expected}")]
    SizeMismatch {
        /// Who sent them.
        endpoint: String,
        /// The blob.
        digest: String,
        /// Bytes stated.
        expected: u64,
        /// Bytes received.
        actual: u64,
    },
    /// A manifest, index or configuration that cannot be read.
    #[error("invalid {what} of {image}: {reason}")]
    InvalidDocument {
        /// Manifest, index or configuration.
        what: &'static str,
        /// The image.
        image: String,
        /// What is wrong.
        reason: String,
    },
    /// Docker's first manifest format.
    #[error(
        "{image} is only offered in the obsolete schema 1 manifest format, which is not supported; ask its publisher to push it again"
    )]
    SchemaOne {
        /// The image.
        image: String,
    },
    /// A manifest that is not an image's.
    #[error("{image} is not a container image: its media type is {media_type}")]
    NotAnImage {
        /// The image.
        image: String,
        /// What it is.
        media_type: String,
    },
    /// The index has nothing for this platform.
    #[error(
        "no matching manifest for {platform} in the manifest list entries of {image}{available}"
    )]
    NoMatchingPlatform {
        /// The image.
        image: String,
        /// The platform wanted.
        platform: String,
        /// `", which has …"`, or nothing.
        available: String,
    },
}

fn after(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("; it asks to wait {} seconds", wait.as_secs()))
}

impl Error {
    /// The kind that callers act on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Configuration { .. } | Self::Certificate { .. } | Self::SchemaOne { .. } => {
                ErrorKind::InvalidInput
            }
            Self::NotAnImage { .. } => ErrorKind::Unsupported,
            Self::Blocked { .. } => ErrorKind::PermissionDenied,
            Self::Unauthorized { .. } | Self::Token { .. } => ErrorKind::PermissionDenied,
            Self::Connection { .. } => ErrorKind::Unavailable,
            Self::ManifestUnknown { .. }
            | Self::AccessDenied { .. }
            | Self::BlobUnknown { .. }
            | Self::NoMatchingPlatform { .. } => ErrorKind::NotFound,
            Self::RateLimited { .. } => ErrorKind::Exhausted,
            Self::Status { status, .. } if *status >= 500 => ErrorKind::Unavailable,
            Self::Status { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::InvalidDocument { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the same may succeed later without anybody's doing.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Connection { transient, .. } => *transient,
            Self::Status { status, .. } => crate::retry::is_transient(*status),
            _ => false,
        }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::AccessDenied { .. } => {
                Some("check the name; for a private repository log in to its registry first")
            }
            Self::Unauthorized { .. } => Some("log in to the registry again"),
            Self::RateLimited { .. } => {
                Some("log in for a higher limit, or configure a mirror for this registry")
            }
            Self::Connection { .. } => {
                Some("check network, name service and the registries configuration")
            }
            _ => None,
        }
    }
}

/// The result of a registry operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
