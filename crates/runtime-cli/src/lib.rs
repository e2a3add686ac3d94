//! The OCI command line, `brig runtime …`: the words, flags and exit codes of runc, so that it can
//! stand in its place.
//!
//! Nothing here is shared with brig's other commands: a container engine runs this once for each
//! container, and every tenth of a millisecond counts. No argument library, no tokio, no settings.

mod activation;
mod arguments;
mod bundle;
mod checkpoint;
mod console;
mod control;
mod create;
mod events;
mod exec;
mod features;
mod log;
mod notify;
mod processes;
mod restore;
mod spec;
mod update;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use linux::process::SingleThreaded;
use oci::runtime::{Hooks, State};
use runtime::Error;
use runtime::state::States;

use arguments::{Flag, Parsed};
use log::Log;

/// Runs one command of the OCI command line. `arguments` begins with the program's name, the word
/// `runtime` is left out; `original` are the arguments the program was started with, for starting
/// it again from a read-only mount.
pub fn main(arguments: &[OsString], original: &[OsString]) -> ExitCode {
    // Before any is opened here.
    let inherited = linux::inherit::count_from(3);
    let words: Vec<String> =
        arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let global = match Parsed::read(&words, GLOBAL_FLAGS) {
        Ok(global) => global,
        Err(message) => return Log::default().failed(&message, 1),
    };
    let log = match Log::open(global.value("log"), global.value("log-format")) {
        Ok(log) => log,
        Err(message) => return Log::default().failed(&message, 1),
    };
    if !matches!(global.value("rootless"), None | Some("auto" | "true" | "false")) {
        return log.failed("--rootless is one of true, false, auto", 1);
    }
    let call = Call { inherited, ..Call::new(&global, original, log) };
    match call.run(&global.rest) {
        Ok(code) => {
            drop(std::io::stdout().flush());
            // The kernel takes everything away at once.
            linux::process::exit(i32::from(code))
        }
        Err(failure) => call.log.failed(&failure.message, failure.exit_code),
    }
}

const GLOBAL_FLAGS: &[Flag] = &[
    Flag::value("root", None),
    Flag::value("log", None),
    Flag::value("log-format", None),
    Flag::switch("debug", None),
    Flag::switch("systemd-cgroup", None),
    Flag::value("rootless", None),
    Flag::value("criu", None),
    Flag::switch("version", Some('v')),
    Flag::switch("help", Some('h')),
];

/// Why a command did not do what it should.
struct Failure {
    message: String,
    exit_code: u8,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { message: stdx::chain(&error), exit_code: 1 }
    }
}

impl From<linux::Error> for Failure {
    fn from(error: linux::Error) -> Self {
        Self { message: stdx::chain(&error), exit_code: 1 }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, exit_code: 1 }
    }
}

/// What all commands share.
struct Call {
    states: States,
    original: Vec<OsString>,
    criu: Option<PathBuf>,
    show: Option<&'static str>,
    /// Whether control groups are made by systemd.
    systemd: bool,
    log: Log,
    /// How many descriptors of the caller's were open, from 3 on.
    inherited: u32,
}

impl Call {
    fn new(global: &Parsed, original: &[OsString], log: Log) -> Self {
        let root = global.value("root").unwrap_or("/run/brig/runtime");
        let show = if global.has("version") {
            Some("version")
        } else if global.has("help") {
            Some("help")
        } else {
            None
        };
        Self {
            states: States::new(root.into()),
            original: original.to_vec(),
            criu: global.value("criu").map(PathBuf::from),
            show,
            systemd: global.has("systemd-cgroup"),
            log,
            inherited: 0,
        }
    }

    /// Runs the hooks of a container that is no more.
    fn stopped(&self, hooks: &Hooks, state: &State) {
        for error in runtime::hook::stopped(&hooks.poststop, state) {
            self.warn(Err(error));
        }
    }

    /// Has systemd end a unit. The container is gone, whatever comes of it.
    fn stop_unit(&self, unit: Option<&str>) {
        self.warn(unit.map_or(Ok(()), runtime::systemd::stop));
    }

    /// Tells what has failed after all else has been done.
    fn warn(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.log.warn(&stdx::chain(&error));
        }
    }

    fn run(&self, words: &[String]) -> Result<u8, Failure> {
        let (command, rest) = match (self.show, words.split_first()) {
            (Some(show), _) => (show, words),
            (None, Some((command, rest))) => (command.as_str(), rest),
            (None, None) => ("help", words),
        };
        if matches!(rest.first().map(String::as_str), Some("--help" | "-help" | "-h" | "--h")) {
            return Ok(log::print(HELP));
        }
        match command {
            "run" => create::run(self, rest),
            "create" => create::create(self, rest),
            "start" => control::start(self, rest),
            "exec" => exec::exec(self, rest),
            "kill" => control::kill(self, rest),
            "delete" => control::delete(self, rest),
            "pause" => control::pause(self, rest),
            "resume" => control::resume(self, rest),
            "state" => control::state(self, rest),
            "list" => control::list(self, rest),
            "ps" => processes::ps(self, rest),
            "update" => update::update(self, rest),
            "events" => events::events(self, rest),
            "features" => features::features(rest),
            "spec" => spec::spec(rest),
            "checkpoint" => checkpoint::checkpoint(self, rest),
            "restore" => restore::restore(self, rest),
            "version" => Ok(log::print(&format!(
                "brig-runtime version {}\nspec: {}\n",
                env!("CARGO_PKG_VERSION"),
                oci::runtime::VERSION
            ))),
            "help" | "h" => Ok(log::print(HELP)),
            other => Err(Failure { message: format!("no such command: {other}"), exit_code: 3 }),
        }
    }

    /// A program that enters containers must not be writable from there: starts this one again from
    /// a read-only mount of its own file, unless it runs from such a one.
    fn seal(&self) -> Result<SingleThreaded, Failure> {
        if !linux::process::is_executable_read_only()? {
            match linux::process::exec_read_only(&self.original)? {}
        }
        linux::process::prefault();
        Ok(SingleThreaded::claim()?)
    }
}

const HELP: &str = "\
brig runtime - runs containers from OCI bundles

USAGE: brig runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND

COMMANDS:
  run     create and start a container, wait for its end
  create  create a container
  start   start a created container
  exec    run another process in a container
  kill    send a signal to a container (TERM)
  delete  delete a stopped container
  pause   freeze all processes of a container
  resume  let frozen processes go on
  state   show a container's state
  list    list containers
  ps      list the processes of a container
  update  change the limits of a container
  events  show what a container uses, and when its memory runs out
  checkpoint  write a running container to files, by CRIU
  restore     make a container from such files
  spec    write a config.json to start from
  features  show what this runtime knows, as JSON
";
