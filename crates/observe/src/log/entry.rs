//! One entry of a log.

use serde::{Deserialize, Serialize};

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As the log file names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line, or a part of one (no newline at the end) when it was longer than 16 KiB or the last
/// one without a newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was read from the container, in nanoseconds since 1970.
    pub time: u64,
    /// Where it was written to.
    pub stream: Stream,
    /// The bytes, with the newline.
    pub bytes: Vec<u8>,
}
