//! HTTP/1.1 beneath the routes: connections, calls, replies, and connections that become raw.
//!
//! Docker's attached streams take over the connection, in two ways: answered 101 when the client
//! sent `Upgrade`, else answered 200 and raw all the same, on a connection that may have served
//! other calls before. hyper knows only the first, so both are done here, beneath it:
//!
//! ```text
//! route ── Call::take_over(head, session) ──▶ Slot: muted, session kept
//!   └ a reply that hyper writes into the muted socket; "Connection: close" ends its part
//! connection ── hyper gives back the socket and what it has read ahead
//!   └ writes the true head by hand, runs the session on the socket
//! ```

mod body;
mod call;
mod connection;
mod query;
mod reply;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use body::{Body, endless, stream};
pub(crate) use call::Call;
pub(crate) use connection::{Service, serve};
pub(crate) use query::Parameters;
pub(crate) use reply::{
    Refusal, Reply, created, empty, json, line, lines, nothing, status_of, text,
};
pub(crate) use socket::{Session, Socket};
