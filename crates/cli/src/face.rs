//! Which program this is: chosen from the name and the first words, before any thread starts.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::command::{self, DaemonCommand, Exit};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::session::{Globals, Session};
use crate::{init, report, start};

/// Runs the face that the command line asks for.
pub(crate) fn run() -> ExitCode {
    let original: Vec<OsString> = std::env::args_os().collect();
    let name = original.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
    let first = original.get(1).map(OsString::as_os_str).unwrap_or_default();
    match (name.to_str(), first.to_str()) {
        (Some("runc" | "brig-runtime"), _) => runtime_cli::main(&original, &original),
        (Some("brig-init"), _) => init::main(original.get(1..).unwrap_or_default()),
        (_, Some("runtime")) => {
            let mut arguments = original.clone();
            drop(arguments.remove(1));
            runtime_cli::main(&arguments, &original)
        }
        (_, Some("init")) => init::main(original.get(2..).unwrap_or_default()),
        _ => match command_face(original) {
            Ok(Exit(code)) => ExitCode::from(code),
            Err(error) => ExitCode::from(report::failure(&error)),
        },
    }
}

fn command_face(original: Vec<OsString>) -> Result<Exit> {
    let globals = globals(original)?;
    let environment = Environment::read();
    let words = globals.words.clone();
    if globals.version {
        command::print_version()?;
        return Ok(Exit::SUCCESS);
    }
    if words.first().is_some_and(|word| word == "daemon") {
        return daemon_face(&words, &globals, &environment);
    }
    match command::find(&words) {
        Ok(command::Found::Group(group, name)) => {
            command::print_help(group, &name)?;
            Ok(Exit::SUCCESS)
        }
        Ok(command::Found::Verb(verb, name, rest)) => {
            let session = Session::new(environment, globals);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|source| Error::local("start", "the event loop", source))?;
            let exit = runtime.block_on(command::execute(verb, &name, rest, &session));
            // A thread may still wait for input that never comes.
            runtime.shutdown_background();
            exit
        }
        Err(unknown) => Err(unknown.into_error()),
    }
}

fn globals(original: Vec<OsString>) -> Result<Globals> {
    let wrong = |error: clap::Error| command::usage_error(&error, &Globals::command(), "brig");
    let mut matches = Globals::command().try_get_matches_from(original).map_err(wrong)?;
    Globals::from_arg_matches_mut(&mut matches).map_err(wrong)
}

fn daemon_face(words: &[OsString], globals: &Globals, environment: &Environment) -> Result<Exit> {
    let name = "brig daemon";
    let parser = command::switches(DaemonCommand::command().bin_name(name));
    let wrong = |error: clap::Error| command::usage_error(&error, &DaemonCommand::command(), name);
    let mut matches = match parser.try_get_matches_from(words) {
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            crate::output::write(&error.to_string())?;
            return Ok(Exit::SUCCESS);
        }
        matches => matches.map_err(wrong)?,
    };
    let command = DaemonCommand::from_arg_matches_mut(&mut matches).map_err(wrong)?;
    match command.command {
        Some(command::DaemonVerb::Install(options)) => {
            command::install(&options, globals, environment)
        }
        None => {
            seal()?;
            start::daemon(&command.options, globals, environment)
        }
    }
}

/// Runs on from a read-only mount of our own file, which the launcher and every monitor inherit:
/// a container that gets hold of `/proc/PID/exe` cannot write to it (CVE-2019-5736).
fn seal() -> Result<()> {
    let failed = |source: linux::Error| Error::Daemon(Box::new(source));
    if linux::process::is_executable_read_only().map_err(failed)? {
        return Ok(());
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match linux::process::exec_read_only(&arguments).map_err(failed)? {}
}
