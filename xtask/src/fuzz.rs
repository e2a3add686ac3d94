//! `cargo xtask fuzz`: every target for a while, coverage-guided, on the stable compiler.
//!
//! The instrumentation is the compiler's own (LLVM's sanitizer coverage); address checks are not
//! needed where no unsafe code runs. New inputs stay in `target/fuzz`, the committed corpus only
//! grows by hand.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::{Result, peers};

const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions";

/// Runs the targets named (all without any), each for `--seconds N` (60).
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, named) = match arguments.split_first() {
        Some((flag, rest)) if flag == "--seconds" => match rest.split_first() {
            Some((number, rest)) => (number.parse()?, rest),
            None => return Err("--seconds needs a number".into()),
        },
        _ => (60_u32, arguments),
    };
    let directory = peers::workspace_root().join("fuzz");
    let target = peers::target_directory().join("fuzz");
    build(&directory, &target)?;
    let mut targets = names(&directory)?;
    targets.retain(|name| named.is_empty() || named.contains(name));
    // Two at a time: one for each core of a small machine.
    for pair in targets.chunks(2) {
        let children = pair
            .iter()
            .map(|name| {
                let memory =
                    tempfile::Builder::new().prefix("brig-fuzz-").tempdir_in("/dev/shm")?;
                let child = start(&directory, &target, name, (seconds, &memory))?;
                Ok((name, child, memory))
            })
            .collect::<Result<Vec<_>>>()?;
        for (name, child, _memory) in children {
            report(name, &child.wait_with_output()?)?;
        }
    }
    Ok(())
}

fn build(directory: &Path, target: &Path) -> Result<()> {
    stdx::process::output(
        stdx::process::command("cargo")
            .current_dir(directory)
            .args(["build", "--release", "--bins"])
            .env("RUSTFLAGS", INSTRUMENT)
            .env("CARGO_TARGET_DIR", target),
    )?;
    Ok(())
}

/// The targets are the files of `fuzz/src/bin`.
fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory.join("src/bin"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Starts a target for some seconds, with a directory in memory for what it writes.
fn start(
    directory: &Path,
    target: &Path,
    name: &str,
    (seconds, memory): (u32, &TempDir),
) -> Result<std::process::Child> {
    let found = target.join("corpus").join(name);
    fs::create_dir_all(&found)?;
    let program = fs::read_dir(target)?
        .flatten()
        .map(|entry| entry.path().join("release").join(name))
        .chain([target.join("release").join(name)])
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{name} was not built"))?;
    let child = stdx::process::command(program)
        .current_dir(target)
        .env("FUZZ_DIRECTORY", memory.path())
        .arg(found)
        .arg(directory.join("corpus").join(name))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    Ok(child)
}

fn report(name: &str, output: &std::process::Output) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("fuzz {name}: {} runs", runs.unwrap_or("?").trim());
    if output.status.success() { Ok(()) } else { Err(format!("fuzz {name}:\n{text}").into()) }
}
