//! A test harness for what only a process with one thread may do: each test is a process forked
//! from one that has no other thread.
//!
//! The command line is that of the usual harness as far as cargo and nextest use it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use linux::process::{ExitStatus, SingleThreaded, spawn};

/// Name and body.
pub type Test = (&'static str, fn(&SingleThreaded));

/// Before the path of this program, which cannot be seen any more once it is sealed.
const EXECUTABLE: &str = "--executable=";

/// This program as a file.
#[must_use]
pub fn executable() -> PathBuf {
    let mut given =
        std::env::args().filter_map(|word| word.strip_prefix(EXECUTABLE).map(Into::into));
    given.next_back().unwrap_or_else(|| std::env::current_exe().unwrap())
}

/// As every program that makes containers has to: goes on from a read-only mount.
pub fn seal() {
    if rustix::process::geteuid().is_root() && !linux::process::is_executable_read_only().unwrap() {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let mut path = OsString::from(EXECUTABLE);
        path.push(std::env::current_exe().unwrap());
        arguments.push(path);
        let Err(error) = linux::process::exec_read_only(&arguments);
        panic!("{error}");
    }
}

/// Runs the tests that the command line chooses, one after the other; with `--ignored` the
/// measurements instead, which print figures.
#[must_use]
pub fn run(tests: &[Test], measurements: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let tests = if has("--ignored") { measurements } else { tests };
    if has("--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        crate::skip("needs-root");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let fits = |name: &str, filter: &str| match has("--exact") {
        true => name == filter,
        false => name.contains(filter),
    };
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| fits(name, filter)))
        .collect();
    println!("running {} tests", chosen.len());
    let token = SingleThreaded::claim().unwrap();
    let failed = chosen.iter().filter(|test| !passes(&token, test)).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {failed} failed", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn passes(token: &SingleThreaded, (name, body): &Test) -> bool {
    let start = Instant::now();
    let child = || {
        let token = SingleThreaded::claim().unwrap();
        let result = std::panic::catch_unwind(|| body(&token));
        linux::process::exit(if result.is_ok() { 0 } else { 101 })
    };
    let status = spawn(token, child).unwrap().wait().unwrap();
    let passed = status == ExitStatus::Code(0);
    let verdict = if passed { "ok" } else { "FAILED" };
    println!("test {name} ... {verdict} ({:.0?})", start.elapsed());
    passed
}
