//! What the container's first process does between its birth and its program, in order.
//!
//! Nothing is decided here; the [`Plan`] has been checked and its descriptors opened before. Paths of
//! the container are resolved below its root by descriptor only, and nothing of the host is looked at
//! after the root has changed.

mod cgroup;
mod command;
mod device;
mod finish;
mod landlock;
mod mask;
mod mount;
mod network;
mod terminal;

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use linux::mount::{Attributes, Propagation};
use linux::path::Root;
use linux::process::{Namespaces, Pid, SingleThreaded};
use linux::procfs::Procfs;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

pub(crate) use command::{Program, find, home, own_root};
pub(crate) use finish::{enter_directory, finish, take_streams};
pub(crate) use terminal::{open_terminal, open_until_told};

use crate::channel::{Child, Failure};
use crate::plan::{Plan, Recursion};

/// The whole life of the process until exec.
pub(crate) fn container(plan: Plan, channel: Child, gate: Option<OwnedFd>) -> Infallible {
    let Err((channel, failure)) = run(plan, channel, gate);
    channel.failed(&failure);
    linux::process::exit(1)
}

fn run(plan: Plan, channel: Child, gate: Option<OwnedFd>) -> Result<Infallible, (Child, Failure)> {
    let prepared = match prepare(plan, Proceed { channel: &channel, done: false }) {
        Ok(prepared) => prepared,
        Err(failure) => return Err((channel, failure)),
    };
    let channel = match wait_at_gate(channel, gate) {
        Ok(channel) => channel,
        Err((channel, failure)) => return Err((channel, failure)),
    };
    let Err(failure) = finish(prepared, &channel);
    Err((channel, failure))
}

/// Everything that can be done before the gate.
fn prepare(mut plan: Plan, mut proceed: Proceed<'_>) -> Result<Program, Failure> {
    leave_the_caller(&plan)?;
    join_namespaces(&plan, &mut proceed)?;
    let rootfs = Rootfs::attach(&plan)?;
    let dev_is_bound = mount::all(&mut plan, &rootfs, &mut proceed)?;
    proceed.wait(&plan)?;
    if !dev_is_bound {
        device::all(&plan.devices, &rootfs.root)?;
    }
    let terminal = open_terminal(&plan.process, &rootfs.root)?;
    if let Some(terminal) = &terminal {
        device::console(terminal, &rootfs.root)?;
    }
    set_names(&plan)?;
    write_sysctls(&plan)?;
    mask::read_only(&plan.read_only_paths, &rootfs.root)?;
    mask::masked(&plan, &rootfs.root)?;
    drop(rootfs.root.create_dir_all(&plan.process.directory, 0o755)?);
    let home = command::home(&plan.process, &rootfs.root);
    run_hooks(&plan, &proceed)?;
    rootfs.enter(&plan)?;
    enter_directory(&plan.process.directory)?;
    let master = take_streams(&mut plan.process, terminal)?;
    let found = command::find(plan.process, home);
    let mut program = terminal::open_until_told(found, master.as_ref())?;
    program.hooks = plan.hooks;
    proceed.channel.ready(master.as_ref())?;
    Ok(program)
}

/// No descriptor, signal disposition, session, key or mask of the caller stays.
fn leave_the_caller(plan: &Plan) -> Result<(), Failure> {
    linux::process::close_on_exec_from(3 + plan.process.preserve_descriptors)?;
    linux::process::reset_signals();
    linux::process::new_session()?;
    if let Some(keyring) = &plan.keyring {
        linux::process::join_session_keyring(keyring)?;
    }
    rustix::process::umask(Mode::empty());
    Ok(())
}

/// The caller's word that ids are mapped and the control group is there, with the network namespace
/// if that was made beside; heard as late as can be: the caller does its part while this process
/// mounts.
pub(crate) struct Proceed<'a> {
    channel: &'a Child,
    done: bool,
}

impl Proceed<'_> {
    /// Waits for the word, joins the network namespace (in a new one the loopback device is set up)
    /// and enters the control groups of cgroup v1 (it was born in that of v2); then the group of this
    /// process is the root it sees.
    pub(crate) fn wait(&mut self, plan: &Plan) -> Result<(), Failure> {
        if self.done {
            return Ok(());
        }
        let gifts = self.channel.wait_proceed()?;
        self.done = true;
        if let Some(network) = &gifts.network {
            linux::process::join(network.as_fd(), Namespaces::NETWORK)?;
        }
        if plan.namespaces.makes_network() {
            network::set_up_loopback()?;
        }
        let token = SingleThreaded::claim()?;
        gifts.entrance.pass(&token)?;
        if plan.namespaces.new.contains(Namespaces::CGROUP) {
            linux::process::unshare(&token, Namespaces::CGROUP)?;
        }
        Ok(())
    }
}

fn join_namespaces(plan: &Plan, proceed: &mut Proceed<'_>) -> Result<(), Failure> {
    for (kind, namespace) in &plan.namespaces.joined {
        // The caller has joined these two before this process was born.
        if !matches!(*kind, Namespaces::PID | Namespaces::TIME) {
            linux::process::join(namespace.as_fd(), *kind)?;
        }
    }
    if plan.namespaces.has(Namespaces::USER) {
        // Without mapped ids no file could be made.
        proceed.wait(plan)?;
        linux::process::set_identity(0, 0)?;
        linux::process::set_groups(&[])?;
    }
    Ok(())
}

/// The container's root while it is being furnished.
struct Rootfs {
    /// Below it everything of the container is resolved.
    root: Root,
}

impl Rootfs {
    /// Puts the root file system over `/` of this mount namespace, where nobody else sees it; or over
    /// the directory that hooks know.
    fn attach(plan: &Plan) -> Result<Self, Failure> {
        linux::mount::change_propagation("/", Propagation::Private, true)?;
        let below = Root::open(plan.place.as_deref().unwrap_or(Path::new("/")))?;
        linux::mount::attach(&plan.rootfs, &below)?;
        Ok(Self { root: Root::from_fd(crate::copy_of(&plan.rootfs)?) })
    }

    /// Makes it the root, with its last attributes.
    fn enter(&self, plan: &Plan) -> Result<(), Failure> {
        if plan.rootfs_read_only {
            let read_only = Attributes { read_only: Some(true), ..Attributes::default() };
            linux::mount::set_attributes(&self.root, &read_only, false)?;
        }
        linux::mount::pivot_root(&self.root)?;
        if let Some((propagation, recursion)) = plan.rootfs_propagation {
            let recursive = recursion == Recursion::Recursive;
            linux::mount::change_propagation("/", propagation, recursive)?;
        }
        Ok(())
    }
}

/// Hooks before the root changes.
fn run_hooks(plan: &Plan, proceed: &Proceed<'_>) -> Result<(), Failure> {
    if plan.waits_for_hooks {
        proceed.channel.mounted()?;
    }
    match &plan.hooks {
        Some(hooks) => hooks.run_create(plan.place.as_deref()),
        None => Ok(()),
    }
}

fn set_names(plan: &Plan) -> Result<(), Failure> {
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes())
            .map_err(|errno| linux::Error::new("set hostname", name, errno))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .map_err(|errno| linux::Error::new("set domainname", name, errno))?;
    }
    Ok(())
}

fn write_sysctls(plan: &Plan) -> Result<(), Failure> {
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let procfs = Procfs::new()?;
    for (path, value) in &plan.sysctls {
        procfs.write(path, value.as_bytes())?;
    }
    Ok(())
}

/// Waits for the caller, or for whoever comes to the gate's socket.
fn wait_at_gate(channel: Child, gate: Option<OwnedFd>) -> Result<Child, (Child, Failure)> {
    let Some(gate) = gate else {
        return match channel.wait_start() {
            Ok(()) => Ok(channel),
            Err(failure) => Err((channel, failure)),
        };
    };
    loop {
        match acceptfrom_with(&gate, SocketFlags::CLOEXEC) {
            Ok((visitor, _)) => {
                let visitor = Child::from_socket(visitor);
                // One that goes away without a word has not opened the gate.
                if visitor.wait_start().is_ok() {
                    return Ok(visitor);
                }
            }
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => {
                return Err((channel, linux::Error::new("wait at", "the gate", errno).into()));
            }
        }
    }
}

/// This process's number in its own pid namespace.
pub(crate) fn own_pid() -> Pid {
    rustix::process::getpid()
}
