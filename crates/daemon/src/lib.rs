//! Serves the Docker API; starts on demand; orderly shutdown.
//!
//! ```text
//! main ── detach ── (launcher forked) ── run ─┬ open ─▶ engine
//!                                             ├ listen ─▶ http ─▶ route ─▶ convert ─▶ engine
//!                                             └ SIGTERM, SIGINT, /brig/v1/system/shutdown
//! command ── start_on_demand ── exec of the same program ── waits for one line on a pipe
//! ```
//!
//! Invariants: the wire's types are turned into the engine's by hand, and no option is dropped in
//! silence; a call that changes something is finished even if its client leaves; every task belongs
//! to the tracker; idle means no wake-up; the environment is not read.

pub mod check;
pub mod config;
mod convert;
mod error;
mod http;
mod listen;
mod log;
mod open;
mod process;
mod ready;
mod roots;
mod route;
mod run;
mod server;
mod start;
mod unit;

pub use error::{Error, Result};
pub use log::LogLevel;
pub use process::detach;
pub use registry::Proxy;
pub use roots::Roots;
pub use run::{Options, run};
pub use start::{Start, start_on_demand};
pub use unit::{UNIT_PATH, install_unit};
