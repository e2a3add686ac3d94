//! Instants as Go writes them: RFC 3339 with up to nine digits, the year 1 for "never".

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Go's zero time.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// An instant, or Go's zero time when `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Option<jiff::Timestamp>);

impl Time {
    /// Whether this is the zero time.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_none()
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(at: jiff::Timestamp) -> Self {
        Self(Some(at))
    }
}

impl From<Option<jiff::Timestamp>> for Time {
    fn from(at: Option<jiff::Timestamp>) -> Self {
        Self(at)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => at.fmt(formatter),
            None => formatter.write_str(ZERO),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text == ZERO {
            return Ok(Self(None));
        }
        text.parse().map(|at| Self(Some(at))).map_err(serde::de::Error::custom)
    }
}
