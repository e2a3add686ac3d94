//! Image registries: authentication, pull, resume, mirrors.
//!
//! ```text
//! Client ── Config: prefix → mirrors…, origin           (config.toml, registries.conf, daemon.json)
//!    │
//!    ├ resolve   reference → index → manifest of a platform → configuration, all verified
//!    └ blob      stream of bytes; cut connections are resumed by Range, a dead mirror is left
//!         │
//!       session   one repository at one endpoint: challenges answered, tries repeated
//!         │
//!       transport one exchange: TLS settings, scheme, redirections
//! ```
//!
//! Invariants: credentials go to the origin they are for, and never to another host that it
//! redirects to; nothing is believed before its digest and size are checked; no try is repeated
//! for ever; no file is read but certificate authorities, no variable of the environment at all.

mod auth;
mod blob;
mod client;
mod config;
mod credentials;
mod error;
mod resolve;
mod retry;
mod session;
mod transport;

pub use blob::BlobStream;
pub use client::Client;
pub use config::{Config, Proxy, Timeouts};
pub use credentials::Credentials;
pub use error::{Error, Result};
pub use resolve::{LocalContent, Resolved};
pub use retry::RetryPolicy;
