//! A further process in a running container.
//!
//! ```text
//! caller          go-between                              process
//!   │ clone ──▶     │ control groups, keyring               
//!   │               │ every namespace of the container      
//!   │               │ closes what the process does not need
//!   │               │ clones it as its own sibling ──▶        │ its session, terminal, directory
//!   │  ← Born       ┘ ends                                    │
//!   │ Proceed                                              →  │ nothing is said before
//!   │  ← Ready (+ terminal)                                   │ waits at the gate
//!   │ Start                                                →  │ last steps, exec
//! ```
//! The process comes to the container's process-id namespace, where others can see it and signal it,
//! last: there it has nothing of the host's any more but its streams and the channel. It is a child
//! of the caller all the same. Whoever is in the container may stop it for ever at any moment, so
//! nobody who has other things to do may wait for it: [`begin`] does not.

mod entry;
mod starting;

use linux::cgroup::Group;
use linux::process::{CloneOptions, Namespaces, PidFd, SingleThreaded};
use oci::runtime::{State, Status};

use self::entry::Entry;
use crate::request::{Created, ExecRequest};
use crate::seccomp::Filter;
use crate::{Error, channel, plan};

pub use self::starting::{Progress, Starting};

/// Makes a process in a running container; it is set up and waits at the gate.
///
/// The calling process becomes non-dumpable, and stays so: nobody in the container can look into
/// the new process before it has become its program (CVE-2016-9962).
///
/// # Errors
/// As [`crate::create`].
pub fn exec(token: &SingleThreaded, request: ExecRequest<'_>) -> Result<Created, Error> {
    begin(token, request)?.wait_at_gate()
}

/// As [`exec`], without waiting for anything.
///
/// # Errors
/// What is wrong with the request, or with making a process at all; [`Starting::advance`] tells the
/// rest.
pub fn begin(token: &SingleThreaded, request: ExecRequest<'_>) -> Result<Starting, Error> {
    let ExecRequest {
        id,
        state,
        target,
        process,
        confinement,
        stdio,
        cgroup,
        preserve_descriptors,
        has_own_keyring,
    } = request;
    plan::check_id(id)?;
    let plan = plan::process(process, &confinement, stdio, preserve_descriptors)?;
    linux::process::set_dumpable(false)?;
    let notifies = plan.seccomp.as_ref().is_some_and(Filter::notifies);
    let keyring = plan::keyring(id, has_own_keyring)?;
    let entry = Entry { keyring, target, namespaces: namespaces_of(target)?, cgroup };
    let (parent, child) = channel::pair(state.cloned().unwrap_or_else(|| state_of(id, target)))?;
    let options = CloneOptions {
        cgroup: cgroup.and_then(Group::v2_dirfd),
        close_in_child: Some(std::os::fd::AsFd::as_fd(&parent)),
        ..CloneOptions::default()
    };
    let go_between = linux::process::clone(token, &options, move || entry.live(plan, &child))?;
    Ok(Starting::new(parent, go_between, notifies))
}

/// All that is known of a container when nobody says more.
fn state_of(id: &str, target: &PidFd) -> State {
    State {
        oci_version: oci::runtime::VERSION.to_owned(),
        id: id.to_owned(),
        status: Status::Running,
        pid: target.pid().as_raw_nonzero().get(),
        ..State::default()
    }
}

/// All kinds; entering one that the caller is in already changes nothing. But the kernel refuses to
/// enter the user namespace one is in, and may not know of time namespaces.
fn namespaces_of(target: &PidFd) -> Result<Namespaces, Error> {
    let mut kinds = Namespaces::MOUNT
        | Namespaces::PID
        | Namespaces::NETWORK
        | Namespaces::IPC
        | Namespaces::UTS
        | Namespaces::CGROUP;
    for kind in [Namespaces::USER, Namespaces::TIME] {
        if identity("self", kind)? != identity(&target.pid().as_raw_nonzero().to_string(), kind)? {
            kinds |= kind;
        }
    }
    // The number could have come to mean another process; the descriptor cannot.
    target.signal(0)?;
    Ok(kinds)
}

/// A namespace's identity; `None` where the kernel has no such kind.
pub(crate) fn identity(process: &str, kind: Namespaces) -> Result<Option<u64>, Error> {
    let path = format!("/proc/{process}/ns/{}", kind.file_name());
    match rustix::fs::stat(&path) {
        Ok(status) => Ok(Some(status.st_ino)),
        Err(rustix::io::Errno::NOENT) if kind == Namespaces::TIME => Ok(None),
        Err(errno) => Err(linux::Error::new("look at", path, errno).into()),
    }
}
