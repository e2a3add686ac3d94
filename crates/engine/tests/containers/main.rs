//! Containers through a real launcher, real monitors and the real kernel: each test in a process,
//! a root directory and a network namespace of its own.
//!
//! A binary of its own, beside `it`: the launcher can only be forked from a process with one
//! thread, which the usual test harness is not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "tests fail by panicking and tell a harness"
)]

mod attach;
mod defaults;
mod exec;
mod init;
mod life;
mod measure;
mod options;
mod policy;
mod recovery;
mod together;
mod world;

use std::process::ExitCode;

use testkit::forked;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if name == "/sbin/brig-init" {
        return init::run();
    }
    forked::seal();
    let tests: Vec<forked::Test> = [
        life::TESTS,
        attach::TESTS,
        exec::TESTS,
        defaults::TESTS,
        options::TESTS,
        recovery::TESTS,
        policy::TESTS,
        together::TESTS,
    ]
    .concat();
    forked::run(&tests, measure::TESTS)
}
