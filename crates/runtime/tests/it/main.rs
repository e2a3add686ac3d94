//! Containers on the real kernel: as root, in temporary directories, in control groups of their own.
//!
//! Each test is forked from a process with one thread, because only such a process may make
//! containers. The command line is that of the usual harness as far as cargo and nextest use it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking; without the usual harness clippy does not see that they are"
)]

mod basic;
mod cycles;
mod device;
mod exec;
mod hardening;
mod hook;
mod identity;
mod landlock;
mod mount;
mod net_device;
mod races;
mod resource;
mod scheduling;
mod terminal;
mod world;

use std::process::ExitCode;

use testkit::forked;

fn main() -> ExitCode {
    if hardening::is_inside() {
        return hardening::inside();
    }
    forked::seal();
    let tests: Vec<forked::Test> = [
        basic::TESTS,
        cycles::TESTS,
        device::TESTS,
        exec::TESTS,
        hardening::TESTS,
        hook::TESTS,
        identity::TESTS,
        landlock::TESTS,
        mount::TESTS,
        net_device::TESTS,
        races::TESTS,
        resource::TESTS,
        scheduling::TESTS,
        terminal::TESTS,
    ]
    .concat();
    forked::run(&tests, &[])
}
