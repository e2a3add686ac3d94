//! Making a container: the caller's side.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use linux::cgroup::{Group, Layout, Limits, Mode};
use linux::process::{CloneOptions, Namespaces, PidFd, SingleThreaded};
use oci::runtime::Resources;

use crate::channel::{self, Parent};
use crate::plan::{self, IdMaps, NamespacePlan, Plan};
use crate::request::{CreateRequest, Created};
use crate::{Error, init};

/// Makes a container; its process is set up and waits at the gate.
///
/// The calling process becomes non-dumpable, and stays so.
///
/// # Errors
/// What is wrong with the request, or which step failed and why. Nothing is left behind then.
pub fn create(token: &SingleThreaded, mut request: CreateRequest<'_>) -> Result<Created, Error> {
    let gate = request.gate.take();
    let resources = request.spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let limits = plan::limits(resources.unwrap_or(&Resources::default()))?;
    let plan = plan::plan(request)?;
    linux::process::set_dumpable(false)?;
    let mut outside = Outside {
        cgroup: plan.cgroup.clone(),
        limits,
        maps: plan.namespaces.maps.as_ref().map(clone_maps),
        oom_score_adjustment: plan.process.oom_score_adjustment,
        moved_by_us: plan.namespaces.has(Namespaces::USER),
        group: None,
    };
    let result = make(token, plan, gate, &mut outside);
    if result.is_err()
        && let Some(mut group) = outside.group.take()
    {
        group.undo();
    }
    let (process, terminal, parent) = result?;
    Ok(Created { process, terminal, cgroup: outside.group, parent })
}

/// What the caller does for the new process from outside.
struct Outside {
    cgroup: String,
    limits: Limits,
    maps: Option<IdMaps>,
    oom_score_adjustment: Option<i32>,
    /// Whether the process itself has no right to enter the groups of cgroup v1.
    moved_by_us: bool,
    group: Option<Group>,
}

fn clone_maps(maps: &IdMaps) -> IdMaps {
    IdMaps { users: maps.users.clone(), groups: maps.groups.clone() }
}

fn make(
    token: &SingleThreaded,
    plan: Plan,
    gate: Option<OwnedFd>,
    outside: &mut Outside,
) -> Result<(PidFd, Option<OwnedFd>, Parent), Error> {
    let layout = Layout::detect()?;
    // The process is born in its v2 group. Those of v1 are made while it is busy mounting; then it
    // goes there by itself, because moving another process takes the kernel some 10 ms.
    let group = outside.group.insert(Group::create_unified(layout, &outside.cgroup)?);
    if layout.mode() == Mode::Unified {
        group.apply(&outside.limits)?;
    }
    let (parent, child) = channel::pair()?;
    let new = plan.namespaces.new.without(Namespaces::CGROUP);
    let options = CloneOptions {
        namespaces: new,
        cgroup: outside.group.as_ref().and_then(Group::v2_dirfd),
        close_in_child: Some(parent.as_fd()),
        as_sibling: false,
    };
    let born = BirthNamespaces::enter(&plan.namespaces)?;
    let process = linux::process::clone(token, &options, || init::container(plan, child, gate));
    born.leave()?;
    let process = process?;
    match outside.attend(layout, &process, &parent) {
        Ok(terminal) => Ok((process, terminal, parent)),
        Err(error) => {
            let error = parent.explain(error);
            end(&process);
            Err(error)
        }
    }
}

impl Outside {
    /// The rest of the group, for a machine with hierarchies of v1.
    fn complete_group(&mut self, process: &PidFd) -> Result<(), Error> {
        let Some(group) = &mut self.group else { return Ok(()) };
        group.complete()?;
        group.apply(&self.limits)?;
        if self.moved_by_us {
            group.add_v1(process.pid())?;
        }
        Ok(())
    }

    /// Everything that the process needs from outside, until it waits at the gate.
    fn attend(
        &mut self,
        layout: &'static Layout,
        process: &PidFd,
        parent: &Parent,
    ) -> Result<Option<OwnedFd>, Error> {
        if let Some(maps) = &self.maps {
            write_maps(process, maps)?;
        }
        if layout.mode() != Mode::Unified {
            self.complete_group(process)?;
        }
        adjust_oom_score(process, self.oom_score_adjustment)?;
        parent.proceed(process)?;
        parent.wait_ready(process)
    }
}

/// Kills and reaps a process whose container will not be.
pub(crate) fn end(process: &PidFd) {
    // It may have ended, and been reaped, already: the error that led here says more.
    drop(process.signal(9));
    drop(process.wait());
}

/// The namespaces a process can only be born into: the caller joins them for its children, and
/// comes back.
struct BirthNamespaces {
    own: Vec<(Namespaces, OwnedFd)>,
}

impl BirthNamespaces {
    fn enter(namespaces: &NamespacePlan) -> Result<Self, Error> {
        let mut born = Self { own: Vec::new() };
        for (kind, namespace) in &namespaces.joined {
            if matches!(*kind, Namespaces::PID | Namespaces::TIME) {
                born.own.push((*kind, linux::process::open_own(*kind)?));
                linux::process::join(namespace.as_fd(), *kind)?;
            }
        }
        Ok(born)
    }

    /// Back to the caller's own.
    fn leave(self) -> Result<(), Error> {
        for (kind, namespace) in &self.own {
            linux::process::join(namespace.as_fd(), *kind)?;
        }
        Ok(())
    }
}

fn write_maps(process: &PidFd, maps: &IdMaps) -> Result<(), Error> {
    for (file, text) in [("uid_map", &maps.users), ("gid_map", &maps.groups)] {
        write_of(process, file, text)?;
    }
    Ok(())
}

/// Written from outside: the process itself may not be allowed to. What is right already is left,
/// as lowering wants a capability.
fn adjust_oom_score(process: &PidFd, wanted: Option<i32>) -> Result<(), Error> {
    let Some(wanted) = wanted else { return Ok(()) };
    let present = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if present.trim().parse() == Ok(wanted) {
        return Ok(());
    }
    write_of(process, "oom_score_adj", &wanted.to_string())
}

fn write_of(process: &PidFd, file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{}/{file}", process.pid().as_raw_nonzero());
    fs::write(&path, text).map_err(|error| linux::Error::from_io("write", &path, &error).into())
}
