//! Logs on real files: written, rotated, compressed, followed, and read back.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod faults;
mod follow;
mod log;
