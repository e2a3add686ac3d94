//! The small process beside each container: pidfd, stdio, log, exit status, attach, held ports.
//!
//! ```text
//! brig daemon ─fork before any thread─▶ launcher ─fork on request─▶ monitor ─runtime─▶ container
//!      │                                   │ keeps, for each monitor,   │ pidfd, stdio or pty master,
//!      │ Client (requests, notices)        │ the container's pidfd and  │ log, attach clients, execs,
//!      └───────────────────────────────────┘ pipe ends                  │ held ports, `::1` splices
//!      Control (commands, events; reconnects through monitor.sock) ─────┘
//! ```
//! Any of the three may be killed at any moment:
//! - the **daemon**: the launcher starts it again; containers and monitors do not notice, and the
//!   new daemon connects to each monitor's socket, whose first message is a snapshot;
//! - a **monitor**: the launcher, which is the sub-reaper of its containers and has duplicates of
//!   the pipe ends, forks another monitor that takes over;
//! - the **launcher**: monitors go on; the daemon starts a new launcher by exec.
//!
//! Invariants: launcher and monitor are single-threaded, hold no tokio, allocate buffers when there
//! is something in them and give them back when idle; they wait in one `epoll_wait` without
//! time-out, so an idle container costs no wake-up.

mod birth;
pub mod client;
mod error;
pub mod launcher;
mod link;
pub mod protocol;
mod record;
mod supervisor;

pub use error::Error;
