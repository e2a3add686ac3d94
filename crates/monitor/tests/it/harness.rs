//! One forked process for each test.

use std::process::ExitCode;
use std::time::Instant;

use linux::process::{ExitStatus, SingleThreaded, spawn};

/// Name and body.
pub(crate) type Test = (&'static str, fn(&SingleThreaded));

pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    if has("--ignored") {
        return ExitCode::SUCCESS;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: monitor-needs-root (see tests/skips.toml)");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if has("--exact") {
                    name == filter.as_str()
                } else {
                    name.contains(filter.as_str())
                }
            })
    };
    let token = SingleThreaded::claim().unwrap();
    let mut failed = 0;
    for (name, body) in tests.iter().filter(|(name, _)| chosen(name)) {
        let start = Instant::now();
        let status = one(&token, *body);
        let verdict = if status == ExitStatus::Code(0) { "ok" } else { "FAILED" };
        println!("test {name} ... {verdict} ({:.0?})", start.elapsed());
        failed += u32::from(status != ExitStatus::Code(0));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn one(token: &SingleThreaded, body: fn(&SingleThreaded)) -> ExitStatus {
    let child = || {
        let token = SingleThreaded::claim().unwrap();
        let result = std::panic::catch_unwind(|| body(&token));
        linux::process::exit(if result.is_ok() { 0 } else { 101 })
    };
    spawn(token, child).unwrap().wait().unwrap()
}
