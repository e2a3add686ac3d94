//! One forked process for each test.

use std::process::ExitCode;
use std::time::Instant;

use linux::process::{ExitStatus, SingleThreaded, spawn};

/// Name and body.
pub(crate) type Test = (&'static str, fn(&SingleThreaded));

/// Before the path of this program, which cannot be seen any more once it is sealed.
const EXECUTABLE: &str = "--executable=";

/// This program as a file.
pub(crate) fn executable() -> std::path::PathBuf {
    let arguments = std::env::args();
    arguments.filter_map(|a| a.strip_prefix(EXECUTABLE).map(Into::into)).next_back().unwrap()
}

/// The init of a container: here it only shows that it is one, and runs the command.
pub(crate) fn init() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(2).collect();
    println!("init {}", std::process::id());
    let status = stdx::process::command(&words[0]).args(&words[1..]).status().unwrap();
    ExitCode::from(u8::try_from(status.code().unwrap()).unwrap())
}

/// As every program that makes containers has to: runs from a read-only mount.
pub(crate) fn seal() {
    if is_root() && !linux::process::is_executable_read_only().unwrap() {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let mut path = std::ffi::OsString::from(EXECUTABLE);
        path.push(std::env::current_exe().unwrap());
        arguments.push(path);
        let Err(error) = linux::process::exec_read_only(&arguments);
        panic!("{error}");
    }
}

pub(crate) fn run(tests: &[Test], measurements: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        let listed = if has("--ignored") { measurements } else { tests };
        listed.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let tests = if has("--ignored") { measurements } else { tests };
    if !is_root() {
        testkit::skip("engine-needs-root");
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

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
