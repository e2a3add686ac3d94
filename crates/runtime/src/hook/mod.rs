//! Hooks: programs that a configuration has run around a container's life (config.md, "POSIX-platform
//! Hooks").
//!
//! ```text
//! create   prestart, createRuntime   by the caller, in its own namespaces; all is mounted
//!          createContainer           by the container's process, before its root changes
//! start    startContainer            by the container's process, with the rights of its program
//!          poststart                 by the caller, when the program runs
//! delete   poststop                  by the caller; what fails is told, and the rest is run
//! ```
//! A hook gets the container's state as its standard input, and what it writes is told when it
//! fails. It inherits no descriptor, no environment and no blocked signal.

mod program;

use std::path::Path;

use linux::process::{Pid, PidFd};
use oci::runtime::{Hook, State, Status};

use crate::Error;
use crate::channel::Failure;

/// Every kind, as a configuration names it.
pub const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Hooks of one kind, checked.
#[derive(Debug, Default)]
struct Hooks {
    kind: &'static str,
    all: Vec<Hook>,
}

impl Hooks {
    fn plan(kind: &'static str, hooks: &[Hook]) -> Result<Self, Error> {
        for hook in hooks {
            let fail = |reason: String| Err(Error::invalid(format!("hooks.{kind}"), reason));
            if !hook.path.starts_with('/') {
                return fail(format!("path {:?} is not absolute", hook.path));
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return fail("timeout is not greater than zero".to_owned());
            }
            if let Some(entry) = hook.env.iter().find(|entry| !entry.contains('=')) {
                return fail(format!("env: {entry:?} has no `=`"));
            }
        }
        Ok(Self { kind, all: hooks.to_vec() })
    }

    /// Runs them, in order; the first that fails is the last.
    fn run(&self, state: &State, directory: Option<&Path>) -> Result<(), Message> {
        let mut hooks = self.all.iter().enumerate();
        hooks.try_for_each(|(index, hook)| run_one(self.kind, index, hook, state, directory))
    }
}

/// Which hook failed, from 0, and why.
type Message = String;

fn run_one(
    kind: &str,
    index: usize,
    hook: &Hook,
    state: &State,
    directory: Option<&Path>,
) -> Result<(), Message> {
    program::run(hook, state, directory)
        .map_err(|reason| format!("error running {kind} hook #{index}: {reason}"))
}

fn failed(message: Message) -> Error {
    Error::Hook { message }
}

/// Runs the hooks for when the program runs.
///
/// # Errors
/// The first hook that fails, after which none is run: the container is then to be stopped.
pub fn started(hooks: &[Hook], state: &State) -> Result<(), Error> {
    let state = State { status: Status::Running, ..state.clone() };
    let hooks = Hooks::plan("poststart", hooks)?;
    hooks.run(&state, Some(Path::new(&state.bundle))).map_err(failed)
}

/// Runs the hooks for when the container has been deleted, all of them, and gives what failed.
#[must_use]
pub fn stopped(hooks: &[Hook], state: &State) -> Vec<Error> {
    let state = State { status: Status::Stopped, pid: 0, ..state.clone() };
    let bundle = Some(Path::new(&state.bundle));
    let run = |(index, hook)| run_one("poststop", index, hook, &state, bundle).err().map(failed);
    hooks.iter().enumerate().filter_map(run).collect()
}

/// What the caller runs before the root changes.
#[derive(Debug)]
pub(crate) struct OfCaller {
    hooks: [Hooks; 2],
    state: State,
}

/// What the container's process runs.
#[derive(Debug)]
pub(crate) struct OfContainer {
    /// Before its root changes.
    create: Hooks,
    /// Before its program.
    start: Hooks,
    state: State,
}

/// Checks all hooks of a configuration; `state` is what they are told, but for number and status.
pub(crate) fn plan(
    hooks: &oci::runtime::Hooks,
    state: &State,
) -> Result<(Option<OfCaller>, Option<OfContainer>), Error> {
    for (kind, later) in [("poststart", &hooks.poststart), ("poststop", &hooks.poststop)] {
        Hooks::plan(kind, later)?;
    }
    let by_caller = [
        Hooks::plan("prestart", &hooks.prestart)?,
        Hooks::plan("createRuntime", &hooks.create_runtime)?,
    ];
    let create = Hooks::plan("createContainer", &hooks.create_container)?;
    let start = Hooks::plan("startContainer", &hooks.start_container)?;
    let of_caller = by_caller
        .iter()
        .any(|hooks| !hooks.all.is_empty())
        .then(|| OfCaller { hooks: by_caller, state: state.clone() });
    let has_own = !create.all.is_empty() || !start.all.is_empty();
    let of_container = has_own.then(|| OfContainer { create, start, state: state.clone() });
    Ok((of_caller, of_container))
}

impl OfCaller {
    pub(crate) fn run(&self, process: &PidFd) -> Result<(), Error> {
        let state = now(&self.state, process.pid(), Status::Creating);
        let bundle = Some(Path::new(&state.bundle));
        self.hooks.iter().try_for_each(|hooks| hooks.run(&state, bundle)).map_err(failed)
    }
}

impl OfContainer {
    /// Whether the root is to be seen where the bundle has it.
    pub(crate) fn look_at_root(&self) -> bool {
        !self.create.all.is_empty()
    }

    /// In this directory; runc takes the root's.
    pub(crate) fn run_create(&self, directory: Option<&Path>) -> Result<(), Failure> {
        let state = now(&self.state, rustix::process::getpid(), Status::Creating);
        self.create.run(&state, directory).map_err(Failure::Hook)
    }

    /// In the present directory, with the present rights.
    pub(crate) fn run_start(&self) -> Result<(), Failure> {
        let state = now(&self.state, rustix::process::getpid(), Status::Created);
        self.start.run(&state, None).map_err(Failure::Hook)
    }
}

fn now(state: &State, process: Pid, status: Status) -> State {
    State { status, pid: process.as_raw_nonzero().get(), ..state.clone() }
}
