//! What can be wrong with what a user demands.

use stdx::ErrorKind;

/// A user's profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not JSON of the profile's shape.
    #[error("decoding seccomp profile failed")]
    Malformed {
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
    /// It says something twice, or something that is nothing.
    #[error("invalid seccomp profile: {reason}")]
    Invalid {
        /// What.
        reason: String,
    },
}

impl Error {
    /// The kind that callers act on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }
}

/// The result of reading a profile.
pub type Result<T, E = Error> = std::result::Result<T, E>;
