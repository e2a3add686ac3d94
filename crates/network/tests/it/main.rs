//! Effects in the kernel, in network namespaces made by each test: needs root.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, also in functions that they share"
)]

mod connect;
mod crash;
mod measure;
mod names;
mod ports;
mod world;
