//! What is at a path of a container.

use serde::{Deserialize, Serialize};

/// The header `X-Docker-Container-Path-Stat`, as JSON in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PathStat {
    /// The last part of the path.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Go's `fs.FileMode`.
    pub mode: u32,
    /// When it was last changed (RFC 3339).
    pub mtime: String,
    /// Where a symbolic link leads in the end.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}
