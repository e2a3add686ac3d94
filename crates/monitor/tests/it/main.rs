//! Launcher, monitors and containers on the real kernel: as root, in temporary directories and
//! control groups of their own.
//!
//! Each test is forked from a process with one thread, because only such a process may start a
//! launcher; it then plays the daemon.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and this harness talks to its caller"
)]

mod attach;
mod exec;
mod faults;
mod life;
mod log;
mod resources;
mod world;

use std::process::ExitCode;

use testkit::forked;

fn main() -> ExitCode {
    let tests: Vec<forked::Test> =
        [attach::TESTS, exec::TESTS, faults::TESTS, life::TESTS, log::TESTS, resources::TESTS]
            .concat();
    forked::run(&tests, &[])
}
