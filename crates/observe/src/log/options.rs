//! How to write a log, and what to read of it.

use serde::{Deserialize, Serialize};

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogOptions {
    /// Bytes after which a new file is started; 0 never does.
    pub max_size: u64,
    /// Files kept, the current one included; at least 1.
    pub max_files: u32,
    /// Compress a file once it is full.
    pub compress: bool,
}

impl Default for LogOptions {
    /// 10 MiB × 3, compressed: a container cannot fill the disk.
    fn default() -> Self {
        Self { max_size: 10 << 20, max_files: 3, compress: true }
    }
}

/// What to read of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Only entries at or after this time (nanoseconds since 1970).
    pub since: Option<u64>,
    /// Only entries at or before this time (nanoseconds since 1970).
    pub until: Option<u64>,
    /// Only this many of the last lines (before `since` and `until` are applied to them).
    pub tail: Option<u64>,
    /// Wait for more at the end.
    pub follow: bool,
    /// Give standard output.
    pub stdout: bool,
    /// Give standard error.
    pub stderr: bool,
}

impl Default for Query {
    /// Everything that is there, both streams, without waiting.
    fn default() -> Self {
        Self { since: None, until: None, tail: None, follow: false, stdout: true, stderr: true }
    }
}
