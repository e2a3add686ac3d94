//! The one binary, `brig`: commands, output, exit codes, choice of face.
//!
//! ```text
//! main ─▶ face ─┬─ runtime   the OCI command line (crate runtime_cli)
//!               ├─ init      process 1 of a container (init)
//!               ├─ daemon    forks the launcher, then daemon::run
//!               └─ command   session ─▶ command tree ─▶ one command ─▶ docker_api::Client
//! ```
//! The face is chosen before any thread starts. No other crate prints, reads the environment or
//! exits. What a command prints goes through [`output`], why it fails through [`error`].

mod command;
mod credentials;
mod docker_settings;
mod environment;
mod error;
mod face;
mod init;
mod options;
mod output;
mod refused;
mod report;
mod session;
mod start;
mod target;
mod terminal;

fn main() -> std::process::ExitCode {
    face::run()
}
