//! Against Debian's registry, and against servers that misbehave in every way we could think of.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod auth;
mod faults;
mod mirrors;
mod pull;
mod server;
mod tls;
