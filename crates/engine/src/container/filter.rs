//! Which containers a listing shows.

use super::Status;

/// Conditions of a listing: lists are alternatives, different fields must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListFilter {
    /// Whether those not running are shown too.
    pub all: bool,
    /// At most this many, newest first (implies `all`).
    pub limit: Option<usize>,
    /// States (imply `all`).
    pub statuses: Vec<Status>,
    /// Parts of names; `^` and `$` anchor.
    pub names: Vec<String>,
    /// Id prefixes.
    pub ids: Vec<String>,
    /// `key` or `key=value`; all of them must hold.
    pub labels: Vec<String>,
    /// Images the container was made from: reference, id or prefix.
    pub ancestors: Vec<String>,
    /// Exit codes (imply `all`).
    pub exited: Vec<i32>,
    /// Network names or ids.
    pub networks: Vec<String>,
    /// Volume names or mount targets.
    pub volumes: Vec<String>,
    /// Published container ports.
    pub published: Vec<super::Port>,
    /// Exposed container ports.
    pub exposed: Vec<super::Port>,
    /// Made before this container.
    pub before: Option<String>,
    /// Made after this container.
    pub since: Option<String>,
    /// Whether sizes on disk are measured.
    pub size: bool,
}
