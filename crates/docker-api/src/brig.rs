//! What Docker's API lacks: `/brig/v1/…` on the same socket.

use serde::{Deserialize, Serialize};

/// Path that answers with an [`Identity`] (GET).
pub const IDENTITY: &str = "/brig/v1/identity";
/// Path that answers with a list of [`Finding`] (GET).
pub const CHECK: &str = "/brig/v1/system/check";
/// Path that ends the daemon (POST [`ShutdownRequest`]); the answer, which has no content, ends when
/// the daemon has ended.
pub const SHUTDOWN: &str = "/brig/v1/system/shutdown";
/// Path that removes everything the daemon keeps (POST, [`ResetResponse`]).
pub const RESET: &str = "/brig/v1/system/reset";

/// Who answers on this socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Random id of the root, 64 hexadecimal digits.
    pub instance: String,
    /// Version of brig.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// The data directory.
    pub data: String,
    /// The directory of run-time state.
    pub run: String,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, but something is missing or slower.
    Warning,
    /// Containers will not work.
    Bad,
}

/// One result of `system check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Short name of what was looked at, such as `cgroups`.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when nothing need be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// How the daemon shall end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Stop the containers too.
    pub all: bool,
}

/// What a reset removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResetResponse {
    /// Containers removed.
    pub containers: u64,
    /// Images removed.
    pub images: u64,
    /// Volumes removed.
    pub volumes: u64,
    /// What could not be removed, and why.
    pub failures: Vec<String>,
}
