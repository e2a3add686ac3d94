//! Our own chores: `cargo xtask test | bench | demo | fuzz | fields | tidy | peers`.
//!
//! A chore installs the peers it needs (Debian packages, Python packages) before it starts, so
//! each works on a fresh machine.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to a terminal")]

mod bench;
mod demo;
mod fuzz;
mod peers;
mod release;
mod test;
mod tidy;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "\
usage: cargo xtask <chore>

  test [FILTER...]   install the test peers and run every test
  bench [WORD...]    side by side with docker, podman, runc, crun (rows whose name has a WORD)
  fuzz [--seconds N] [TARGET...]
                     every fuzz target for N (60) seconds, two at a time
  demo               a tour on the screen
  fields             write docs/oci-fields.md
  tidy               layers, limits, names and documents only
  peers              install the test peers only
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("test") => test::run(rest),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("demo") => demo::run(),
        Some("tidy") => tidy::run(),
        Some("fields") => tidy::write_fields(),
        Some("peers") => peers::install(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {}", stdx::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
