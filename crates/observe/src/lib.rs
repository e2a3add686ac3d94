//! Logs, metrics, events: append, keep, query, expose.
//!
//! - [`log`]: one container's output, written in Docker's json-file bytes and read back by time or
//!   from the end, over rotated and compressed files.
//! - [`stats`]: readings of cgroup counters, and the rates between two of them.
//!
//! Invariants: nothing here starts a thread or knows a container; paths are given, never made up.

mod error;
pub mod log;
pub mod stats;

pub use error::Error;
