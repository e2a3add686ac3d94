//! What this program is when a container runs it as its init.

use std::process::ExitCode;

/// Only shows that it is one, and runs the command.
pub(crate) fn run() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(2).collect();
    println!("init {}", std::process::id());
    let status = stdx::process::command(&words[0]).args(&words[1..]).status().unwrap();
    ExitCode::from(u8::try_from(status.code().unwrap()).unwrap())
}
