//! The engine over real mechanisms, in throw-away roots.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod images;
mod seccomp;
