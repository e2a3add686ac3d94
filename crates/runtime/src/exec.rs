//! A further process in a running container.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use linux::cgroup::Group;
use linux::path::Root;
use linux::process::{CloneOptions, Namespaces, PidFd, SingleThreaded};

use crate::channel::{self, Child, Failure, Parent};
use crate::create::{BirthNamespaces, adjust_oom_score, end};
use crate::init::{self, Program};
use crate::plan::{self, ProcessPlan};
use crate::request::{Created, ExecRequest};
use crate::{Error, seccomp};

/// Makes a process in a running container; it is set up and waits at the gate.
///
/// The calling process becomes non-dumpable, and stays so: nobody in the container can look into
/// the new process before it has become its program (CVE-2016-9962).
///
/// # Errors
/// As [`crate::create`].
pub fn exec(token: &SingleThreaded, request: ExecRequest<'_>) -> Result<Created, Error> {
    let ExecRequest { target, process, seccomp, stdio, cgroup, preserve_descriptors } = request;
    let filter = seccomp::compile(seccomp)?;
    let plan = plan::process(process, filter, stdio, preserve_descriptors)?;
    let score = plan.oom_score_adjustment;
    linux::process::set_dumpable(false)?;
    let namespaces = namespaces_of(target)?;
    let (parent, child) = channel::pair()?;
    let options = CloneOptions {
        namespaces: Namespaces::NONE,
        cgroup: cgroup.and_then(Group::v2_dirfd),
        close_in_child: Some(std::os::fd::AsFd::as_fd(&parent)),
    };
    let born = BirthNamespaces::enter_of(target)?;
    let enter = &Entry { target, namespaces, cgroup };
    let made = linux::process::clone(token, &options, move || enter.live(plan, &child));
    born.leave()?;
    let made = made?;
    match attend(&made, score, &parent) {
        Ok(terminal) => Ok(Created { process: made, terminal, cgroup: None, parent }),
        Err(error) => {
            let error = parent.explain(error);
            end(&made);
            Err(error)
        }
    }
}

fn attend(process: &PidFd, score: Option<i32>, parent: &Parent) -> Result<Option<OwnedFd>, Error> {
    adjust_oom_score(process, score)?;
    parent.proceed(process)?;
    parent.wait_ready(process)
}

/// The kinds in which the container differs from the caller and that are entered after birth. The
/// kernel refuses to enter the user namespace one is in.
fn namespaces_of(target: &PidFd) -> Result<Namespaces, Error> {
    let mut kinds = Namespaces::NONE;
    for kind in [
        Namespaces::USER,
        Namespaces::MOUNT,
        Namespaces::NETWORK,
        Namespaces::IPC,
        Namespaces::UTS,
        Namespaces::CGROUP,
        Namespaces::TIME,
    ] {
        if identity("self", kind)? != identity(&target.pid().as_raw_nonzero().to_string(), kind)? {
            kinds |= kind;
        }
    }
    // The number could have come to mean another process; the descriptor cannot.
    target.signal(0)?;
    Ok(kinds)
}

/// A namespace's identity; `None` where the kernel has no such kind.
fn identity(process: &str, kind: Namespaces) -> Result<Option<u64>, Error> {
    let path = format!("/proc/{process}/ns/{}", kind.file_name());
    match rustix::fs::stat(&path) {
        Ok(status) => Ok(Some(status.st_ino)),
        Err(rustix::io::Errno::NOENT) if kind == Namespaces::TIME => Ok(None),
        Err(errno) => Err(linux::Error::new("look at", path, errno).into()),
    }
}

/// What the new process enters.
struct Entry<'a> {
    target: &'a PidFd,
    namespaces: Namespaces,
    cgroup: Option<&'a Group>,
}

impl Entry<'_> {
    fn live(&self, plan: ProcessPlan, channel: &Child) -> Infallible {
        let Err(failure) = self.run(plan, channel);
        channel.failed(&failure);
        linux::process::exit(1)
    }

    fn run(&self, plan: ProcessPlan, channel: &Child) -> Result<Infallible, Failure> {
        let program = self.prepare(plan, channel)?;
        channel.wait_start()?;
        init::finish(program)
    }

    fn prepare(&self, mut plan: ProcessPlan, channel: &Child) -> Result<Program, Failure> {
        linux::process::close_on_exec_from(3 + plan.preserve_descriptors)?;
        linux::process::reset_signals();
        linux::process::new_session()?;
        if let Some(group) = self.cgroup {
            // It was born in the group of cgroup v2; it still has the caller's rights.
            group.enter_v1(&SingleThreaded::claim()?)?;
        }
        linux::process::join_of(self.target, self.namespaces)?;
        if self.namespaces.contains(Namespaces::USER) {
            linux::process::set_identity(0, 0)?;
            linux::process::set_groups(&[])?;
        }
        rustix::process::umask(rustix::fs::Mode::empty());
        let root: Root = init::own_root()?;
        let terminal = init::open_terminal(&plan, &root)?;
        let home = init::home(&plan, &root);
        init::enter_directory(&plan.directory)?;
        let master = init::take_streams(&mut plan, terminal)?;
        let program = init::open_until_told(init::find(plan, home), master.as_ref())?;
        channel.wait_proceed()?;
        channel.ready(master.as_ref())?;
        Ok(program)
    }
}
