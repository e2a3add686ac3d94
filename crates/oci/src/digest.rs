//! Content digests (OCI image specification, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A registered digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what everybody uses.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits follow the colon.
    #[must_use]
    pub const fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A validated digest such as `sha256:2c26…`: a registered algorithm and exactly as many lower-case
/// hexadecimal digits as it yields, so it is safe as a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    text: String,
}

/// A text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:hex` in it.
    #[error("invalid digest `{text}`: want ALGORITHM:HEX")]
    Malformed {
        /// The text as given, shortened.
        text: String,
    },
    /// The algorithm is not registered.
    #[error("unsupported digest algorithm `{algorithm}`")]
    UnsupportedAlgorithm {
        /// The part before the colon, shortened.
        algorithm: String,
    },
    /// The hexadecimal part has the wrong length or characters.
    #[error("invalid {algorithm} digest: want {want} lower-case hexadecimal digits")]
    InvalidHex {
        /// The algorithm's name.
        algorithm: &'static str,
        /// Digits expected.
        want: usize,
    },
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Parses `algorithm:hex`.
    ///
    /// # Errors
    /// [`DigestError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let Some((name, hex)) = text.split_once(':') else {
            return Err(DigestError::Malformed { text: shorten(text) });
        };
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::UnsupportedAlgorithm { algorithm: shorten(name) }),
        };
        let want = algorithm.hex_length();
        if hex.len() != want || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::InvalidHex { algorithm: name_of(algorithm), want });
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The whole text, `algorithm:hex`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        if self.text.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The hexadecimal digits after the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hexadecimal digits, as people are shown.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }

    /// A running hash of this digest's algorithm.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm())
    }

    /// Whether `bytes` have this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finish() == *self
    }
}

const fn name_of(algorithm: Algorithm) -> &'static str {
    algorithm.as_str()
}

/// Strangers' text in an error message must not flood a terminal.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({})", self.text)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text
    }
}

/// A hash over a stream.
#[derive(Clone)]
pub struct Hasher {
    state: State,
}

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// A hash over nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(sha2::Sha512::new())),
        };
        Self { state }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.state {
            State::Sha256(state) => (Algorithm::Sha256, stdx::hex::encode(&state.finalize())),
            State::Sha512(state) => (Algorithm::Sha512, stdx::hex::encode(&state.finalize())),
        };
        Digest { text: format!("{}:{hex}", algorithm.as_str()) }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Digest, Hasher};
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_values() {
        assert_eq!(Digest::of(b"").as_str(), EMPTY);
        let empty = Digest::parse(EMPTY).unwrap();
        assert_eq!(empty.short(), "e3b0c44298fc");
        assert!(empty.matches(b""));
        assert!(!empty.matches(b"x"));
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert!(digest.hex().starts_with("ddaf35a193617aba"));
        assert_eq!(Digest::parse(digest.as_str()).unwrap().algorithm(), Algorithm::Sha512);
    }

    #[test]
    fn wrong_texts_are_refused() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for text in
            ["", ":", "sha256", "sha256:", "sha256:00", "md5:00", "sha256:../../etc", &upper]
        {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
        assert!(Digest::parse(&format!("{EMPTY}0")).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_round_trips(text in "\\PC*") {
            if let Ok(digest) = Digest::parse(&text) {
                prop_assert_eq!(digest.to_string(), text);
            }
        }

        #[test]
        fn digests_of_bytes_parse(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
            prop_assert!(digest.matches(&bytes));
        }
    }
}
