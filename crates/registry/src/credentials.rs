//! Who we are to a registry. Files and helper programs that say so are the caller's to read and run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stdx::Secret;

/// What proves to one registry who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password (or a personal access token in its place).
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret<String>,
    },
    /// A refresh token that the token server exchanges for access tokens.
    Identity {
        /// The token.
        token: Secret<String>,
    },
    /// An access token that is sent to the registry as it is.
    Bearer {
        /// The token.
        token: Secret<String>,
    },
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { username: username.into(), password: Secret::new(password.into()) }
    }

    /// An identity (refresh) token.
    #[must_use]
    pub fn identity(token: impl Into<String>) -> Self {
        Self::Identity { token: Secret::new(token.into()) }
    }

    /// The value of an `Authorization: Basic` header, without the scheme.
    pub(crate) fn basic_value(username: &str, password: &Secret<String>) -> Secret<String> {
        Secret::new(STANDARD.encode(format!("{username}:{}", password.expose())))
    }

    /// Tells identities apart in the token cache. Never printed.
    pub(crate) fn cache_key(&self) -> Secret<String> {
        Secret::new(match self {
            Self::Basic { username, password } => format!("b{username}\n{}", password.expose()),
            Self::Identity { token } => format!("i{}", token.expose()),
            Self::Bearer { token } => format!("t{}", token.expose()),
        })
    }
}
