//! What a caller asks for, and what it gets.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::cgroup::Group;
use linux::process::PidFd;
use oci::runtime::{Linux, LinuxPersonality, MemoryPolicy, Process, Seccomp, Spec, State};

use crate::Error;
use crate::channel::Parent;
use crate::systemd::Unit;

/// A container to be made by [`crate::create`].
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The container's id: letters, digits, `_`, `+`, `-`, `.`.
    pub id: &'a str,
    /// Its configuration. The cgroup is `linux.cgroups_path`, absolute; `/brig/ID` when absent.
    pub spec: &'a Spec,
    /// The directory relative paths of the configuration start from.
    pub bundle: &'a Path,
    /// Its root file system, instead of `spec.root.path`.
    pub rootfs: Rootfs,
    /// Where its standard streams lead.
    pub stdio: Stdio,
    /// A network namespace to join, instead of what the configuration says.
    pub network_namespace: Option<OwnedFd>,
    /// How many descriptors from 3 on its program inherits.
    pub preserve_descriptors: u32,
    /// Whether it gets a session keyring of its own; otherwise it keeps the caller's.
    pub has_own_keyring: bool,
    /// The unit of systemd's whose group it gets, instead of the one that the configuration says. When
    /// the container is no more, or could not be made, the caller [stops](crate::systemd::stop) it.
    pub unit: Option<&'a Unit>,
    /// A listening socket (`SOCK_SEQPACKET`) at which another process may open the gate
    /// ([`crate::gate`]); `None`: only this process can, by [`Created::start`].
    pub gate: Option<OwnedFd>,
}

/// Where a container's root file system comes from.
#[derive(Debug)]
pub enum Rootfs {
    /// A directory of the host, bound with all mounts below it.
    Directory(PathBuf),
    /// A detached mount, for instance of [`linux::mount::overlay`].
    Mount(OwnedFd),
}

/// Where a process's standard streams lead.
#[derive(Debug)]
pub enum Stdio {
    /// To the caller's.
    Inherit,
    /// To these.
    Descriptors {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// To a new terminal of the container, its controlling terminal; [`Created::terminal`] is the
    /// other end.
    Terminal,
}

/// A process to be made in a running container by [`crate::exec`].
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// The container's id, as it was given to [`crate::create`].
    pub id: &'a str,
    /// What a listener of its system calls is told of the container; `None`: what is known here.
    pub state: Option<&'a State>,
    /// Any process of the container, usually its first.
    pub target: &'a PidFd,
    /// What is run.
    pub process: &'a Process,
    /// What holds for every process of the container.
    pub confinement: Confinement<'a>,
    /// Where its standard streams lead.
    pub stdio: Stdio,
    /// The control group it joins; `None` leaves it in the caller's.
    pub cgroup: Option<&'a Group>,
    /// How many descriptors from 3 on its program inherits.
    pub preserve_descriptors: u32,
    /// Whether it joins the container's session keyring; otherwise it keeps the caller's.
    pub has_own_keyring: bool,
}

/// What of a container's configuration holds for each of its processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confinement<'a> {
    /// The filter of system calls.
    pub seccomp: Option<&'a Seccomp>,
    /// The execution domain.
    pub personality: Option<&'a LinuxPersonality>,
    /// Where memory comes from.
    pub memory_policy: Option<&'a MemoryPolicy>,
    /// The annotation [`crate::LANDLOCK`].
    pub landlock: Option<&'a str>,
}

impl<'a> Confinement<'a> {
    /// That of a configuration.
    #[must_use]
    pub fn of(linux: &'a Linux) -> Self {
        Self {
            seccomp: linux.seccomp.as_ref(),
            personality: linux.personality.as_ref(),
            memory_policy: linux.memory_policy.as_ref(),
            landlock: None,
        }
    }

    /// That of a whole configuration, with what annotations say.
    #[must_use]
    pub fn of_spec(spec: &'a Spec) -> Self {
        let landlock = spec.annotations.get(crate::LANDLOCK).map(String::as_str);
        Self { landlock, ..spec.linux.as_ref().map(Self::of).unwrap_or_default() }
    }
}

/// A process that is set up and waits at the gate: it has not yet run its program.
///
/// It is a child of the caller, who waits for it by [`Created::process`]. When this is dropped
/// before [`Created::start`], and no other gate was given, the process ends by itself.
#[derive(Debug)]
pub struct Created {
    /// The process.
    pub process: PidFd,
    /// The master side of its terminal, with [`Stdio::Terminal`].
    pub terminal: Option<OwnedFd>,
    /// The container's control group; `None` for [`crate::exec`].
    pub cgroup: Option<Group>,
    pub(crate) parent: Parent,
    /// Whether its program is known to run.
    pub(crate) is_running: bool,
}

impl Created {
    /// Opens the gate and returns when the program runs.
    ///
    /// # Errors
    /// [`Error::Command`] when it cannot be run (see [`Error::exit_code`]), [`Error::Setup`] when a
    /// late step failed. The process has then ended and is to be waited for.
    pub fn start(&mut self) -> Result<(), Error> {
        self.parent.start(&self.process)?;
        self.is_running = true;
        Ok(())
    }

    /// After [`crate::Newborn::launch`], when the process has ended: why its program could not be
    /// run, if it could not.
    ///
    /// # Errors
    /// As [`Created::start`].
    pub fn verdict(&self) -> Result<(), Error> {
        if self.is_running { Ok(()) } else { self.parent.verdict() }
    }
}
