//! The way of a process into a container: what the go-between does, then what the process does.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::cgroup::Group;
use linux::path::Root;
use linux::process::{CloneOptions, Namespaces, PidFd, SingleThreaded};

use crate::channel::{Child, Failure};
use crate::init::{self, Program};
use crate::plan::ProcessPlan;
use crate::request::Stdio;

/// What is entered.
pub(super) struct Entry<'a> {
    pub(super) keyring: Option<CString>,
    pub(super) target: &'a PidFd,
    pub(super) namespaces: Namespaces,
    pub(super) cgroup: Option<&'a Group>,
}

impl Entry<'_> {
    /// The whole life of the go-between.
    pub(super) fn live(&self, plan: ProcessPlan, channel: &Child) -> Infallible {
        let result = self.enter(plan, channel);
        if let Err(failure) = &result {
            channel.failed(failure);
        }
        linux::process::exit(i32::from(result.is_err()))
    }

    fn enter(&self, plan: ProcessPlan, channel: &Child) -> Result<(), Failure> {
        // All that needs the host's files and the caller's rights comes before the namespaces.
        let token = SingleThreaded::claim()?;
        linux::process::reset_signals();
        run_on(plan.affinity.initial.as_deref())?;
        adjust_oom_score(plan.oom_score_adjustment)?;
        if let Some(keyring) = &self.keyring {
            linux::process::join_session_keyring(keyring)?;
        }
        if let Some(group) = self.cgroup {
            // It was born in the group of cgroup v2.
            group.entrance()?.pass(&token)?;
        }
        run_on(plan.affinity.last.as_deref())?;
        linux::process::join_of(self.target, self.namespaces)?;
        if self.namespaces.contains(Namespaces::USER) {
            linux::process::set_identity(0, 0)?;
            linux::process::set_groups(&[])?;
        }
        rustix::process::umask(rustix::fs::Mode::empty());
        let first = 3 + plan.preserve_descriptors;
        linux::inherit::close_from(&token, first, &needed(&plan, channel))?;
        let options = CloneOptions { as_sibling: true, ..CloneOptions::default() };
        let process = linux::process::clone(&token, &options, || live(plan, channel))?;
        channel.born(&process)
    }
}

/// Changes the processors, if there is a wish.
fn run_on(processors: Option<&[usize]>) -> Result<(), linux::Error> {
    processors.map_or(Ok(()), linux::scheduling::set_processors)
}

/// The descriptors that the process still needs.
fn needed<'a>(plan: &'a ProcessPlan, channel: &'a Child) -> Vec<BorrowedFd<'a>> {
    let mut needed = vec![channel.as_fd()];
    if let Stdio::Descriptors { stdin, stdout, stderr } = &plan.stdio {
        needed.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    }
    needed
}

/// What is right already is left, as lowering wants a capability.
fn adjust_oom_score(wanted: Option<i32>) -> Result<(), linux::Error> {
    const PATH: &str = "/proc/self/oom_score_adj";
    let Some(wanted) = wanted else { return Ok(()) };
    let present = fs::read_to_string(PATH).unwrap_or_default();
    if present.trim().parse() == Ok(wanted) {
        return Ok(());
    }
    fs::write(PATH, wanted.to_string())
        .map_err(|error| linux::Error::from_io("write", PATH, &error))
}

/// The whole life of the process until exec.
fn live(plan: ProcessPlan, channel: &Child) -> Infallible {
    let Err(failure) = run(plan, channel);
    channel.failed(&failure);
    linux::process::exit(1)
}

fn run(plan: ProcessPlan, channel: &Child) -> Result<Infallible, Failure> {
    let prepared = prepare(plan);
    // The caller first learns which process this is, so that it can be ended whatever it says.
    drop(channel.wait_proceed()?);
    let (program, master) = prepared?;
    channel.ready(master.as_ref())?;
    drop(master);
    channel.wait_start()?;
    init::finish(program, channel)
}

fn prepare(mut plan: ProcessPlan) -> Result<(Program, Option<OwnedFd>), Failure> {
    linux::process::close_on_exec_from(3 + plan.preserve_descriptors)?;
    linux::process::new_session()?;
    let root: Root = init::own_root()?;
    let terminal = init::open_terminal(&plan, &root)?;
    let home = init::home(&plan, &root);
    init::enter_directory(&plan.directory)?;
    let master = init::take_streams(&mut plan, terminal)?;
    let program = init::open_until_told(init::find(plan, home), master.as_ref())?;
    Ok((program, master))
}
