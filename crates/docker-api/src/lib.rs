//! The Docker Engine API as wire types, and a thin client.
//!
//! Types are exactly Docker's JSON, field for field (API 1.51, what engine 28 speaks); reading is
//! lenient: unknown fields, absent fields and `null` are all fine, as they are to Docker. There is
//! no behavior here beyond what the wire itself asks for: [`Filters`] in both their JSON forms,
//! [`Time`] with Go's zero value, [`frame`] for multiplexed streams, [`Query`] for addresses.
//!
//! [`Client`] speaks HTTP over a unix or TCP socket. [`brig`] holds what brig adds under `/brig/v1`.

pub mod brig;
mod client;
pub mod container;
pub mod error;
pub mod event;
pub mod exec;
mod filters;
pub mod frame;
pub mod image;
mod lenient;
pub mod network;
mod query;
pub mod system;
mod time;
mod version;
pub mod volume;

pub use client::{ByteStream, Client, Endpoint, Hijacked, Lines, ReadHalf, WriteHalf};
pub use error::{Error, ErrorResponse, Result};
pub use filters::{Filters, FiltersError};
pub use lenient::{Empty, StringOrList};
pub use query::Query;
pub use time::Time;
pub use version::ApiVersion;
