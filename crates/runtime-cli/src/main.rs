//! `brig-runtime`: the OCI command line alone, for engines that start it once for each container.
//! It is smaller than `brig` and so starts sooner and touches less memory.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    runtime_cli::main(&arguments, &arguments)
}
