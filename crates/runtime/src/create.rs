//! Making a container: the caller's side.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use linux::cgroup::{Entrance, Group, Layout, Limits, Mode};
use linux::process::{CloneOptions, Namespaces, NewNetwork, PidFd, SingleThreaded};
use oci::runtime::{Resources, State, Status};

use crate::channel::{self, Gifts, Parent};
use crate::hook::OfCaller;
use crate::net_device::{self, NetDevices};
use crate::plan::{self, IdMaps, NamespacePlan, Plan};
use crate::request::{CreateRequest, Created};
use crate::seccomp::Filter;
use crate::systemd::{self, Keeper};
use crate::{Error, init};

/// Makes a container; its process is set up and waits at the gate.
///
/// The calling process becomes non-dumpable, and stays so.
///
/// # Errors
/// What is wrong with the request, or which step failed and why. Nothing is left behind then.
pub fn create(token: &SingleThreaded, request: CreateRequest<'_>) -> Result<Created, Error> {
    birth(token, request)?.ready()
}

/// As [`create`], but returns while the process sets itself up: time for the caller to do something
/// of its own, such as to remember it.
///
/// # Errors
/// As [`create`].
pub fn birth(token: &SingleThreaded, mut request: CreateRequest<'_>) -> Result<Newborn, Error> {
    let gate = request.gate.take();
    linux::process::set_dumpable(false)?;
    let network = begin_network(token, &request)?;
    let (plan, mut outside) = Outside::prepare(token, request, network)?;
    match deliver(token, plan, gate, &mut outside) {
        Ok((process, parent)) => {
            let Outside { group, hooks, notifies, .. } = outside;
            Ok(Newborn { process, parent, group, hooks, notifies })
        }
        Err(error) => {
            outside.group.undo();
            Err(error)
        }
    }
}

/// A container's process that sets itself up.
#[derive(Debug)]
#[must_use = "its process is to be waited for"]
pub struct Newborn {
    process: PidFd,
    parent: Parent,
    group: Group,
    /// What is to be run before it goes on.
    hooks: Option<OfCaller>,
    /// Whether a listener is to be told of it.
    notifies: bool,
}

impl Newborn {
    /// The process.
    #[must_use]
    pub fn process(&self) -> &PidFd {
        &self.process
    }

    /// What is said of the container from now on.
    #[must_use]
    pub fn state(&self) -> State {
        let pid = self.process.pid().as_raw_nonzero().get();
        State { status: Status::Created, pid, ..self.parent.state().clone() }
    }

    /// The container's control group.
    #[must_use]
    pub fn cgroup(&self) -> &Group {
        &self.group
    }

    /// Waits until it has come to the gate.
    ///
    /// # Errors
    /// Which step or hook failed and why. Nothing is left behind then.
    pub fn ready(self) -> Result<Created, Error> {
        self.run_hooks()?.wait_ready()
    }

    /// Opens the gate before it is there, and returns when the program runs.
    ///
    /// # Errors
    /// As [`Self::ready`] and [`Created::start`]. Nothing is left behind then.
    pub fn start(self) -> Result<Created, Error> {
        let mut created = self.run_hooks()?.open_gate()?.wait_ready()?;
        match created.parent.wait_exec(&created.process) {
            Ok(()) => {
                created.is_running = true;
                Ok(created)
            }
            Err(error) => {
                end(&created.process);
                if let Some(mut group) = created.cgroup {
                    group.undo();
                }
                Err(error)
            }
        }
    }

    /// Opens the gate and comes back at once, but for hooks. Whether the program could be run is for
    /// [`Created::verdict`] to say when the process has ended: a caller who only waits for the end
    /// is not woken before. For a process without terminal, whose other end would come later.
    ///
    /// # Errors
    /// As [`Self::ready`], if it has failed already.
    pub fn launch(self) -> Result<Created, Error> {
        if self.notifies {
            // Somebody has to introduce the process to its listener.
            return self.start();
        }
        Ok(self.run_hooks()?.open_gate()?.into_created(None))
    }

    /// Runs the caller's hooks, if there are any, when all is mounted.
    fn run_hooks(mut self) -> Result<Self, Error> {
        let Some(hooks) = self.hooks.take() else { return Ok(self) };
        let result = self.parent.when_mounted(&self.process, || hooks.run(&self.process));
        self.unless_failed(result)
    }

    fn open_gate(self) -> Result<Self, Error> {
        let result = self.parent.open_gate(&self.process);
        self.unless_failed(result)
    }

    fn wait_ready(self) -> Result<Created, Error> {
        match self.parent.wait_ready(&self.process) {
            Ok(terminal) => Ok(self.into_created(terminal)),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    fn into_created(self, terminal: Option<OwnedFd>) -> Created {
        let Self { process, parent, group, .. } = self;
        Created { process, terminal, cgroup: Some(group), parent, is_running: false }
    }

    fn unless_failed(self, result: Result<(), Error>) -> Result<Self, Error> {
        match result {
            Ok(()) => Ok(self),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Ends it; nothing of it stays.
    pub fn abandon(mut self) {
        end(&self.process);
        self.group.undo();
    }
}

/// The network namespace takes longest: it is begun before the plan is.
fn begin_network(
    token: &SingleThreaded,
    request: &CreateRequest<'_>,
) -> Result<Option<NewNetwork>, Error> {
    let is_wanted = request.network_namespace.is_none()
        && request.spec.linux.as_ref().is_some_and(plan::wants_network);
    Ok(if is_wanted { Some(NewNetwork::begin(token)?) } else { None })
}

/// What the caller does for the new process from outside.
struct Outside {
    layout: &'static Layout,
    group: Group,
    /// Whether the group is there in the hierarchies of cgroup v1 as well, with its limits.
    is_complete: bool,
    limits: Limits,
    maps: Option<IdMaps>,
    oom_score_adjustment: Option<i32>,
    /// Whether the process itself has no right to enter the groups of cgroup v1.
    moved_by_us: bool,
    network: Option<NewNetwork>,
    hooks: Option<OfCaller>,
    notifies: bool,
    state: State,
    /// The name of the group's unit, and who keeps it until the container is there.
    unit: Option<(String, Keeper)>,
    owner_of_cgroup: Option<(u32, u32)>,
    /// Interfaces to hand over; to this namespace, if it is one that is joined.
    net_devices: Option<(NetDevices, Option<OwnedFd>)>,
}

impl Outside {
    /// Plans, and makes the group in which the process is born. Those of cgroup v1 are made while it
    /// is busy mounting; then it goes there by itself, because moving another process takes the
    /// kernel some 10 ms.
    fn prepare(
        token: &SingleThreaded,
        request: CreateRequest<'_>,
        network: Option<NewNetwork>,
    ) -> Result<(Plan, Self), Error> {
        let resources = request.spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        let limits = plan::limits(resources.unwrap_or(&Resources::default()))?;
        let unit = request.unit;
        let (plan, caller) = plan::plan(token, request)?;
        let layout = Layout::detect()?;
        let (group, unit) = match unit {
            None => (Group::create_unified(layout, &plan.cgroup)?, None),
            Some(unit) => {
                let (group, keeper) = unit.begin(token, layout)?;
                (group, Some((unit.name().to_owned(), keeper)))
            }
        };
        let mut outside = Self {
            layout,
            group,
            unit,
            owner_of_cgroup: plan.owner_of_cgroup,
            is_complete: false,
            limits,
            maps: plan.namespaces.maps.clone(),
            oom_score_adjustment: new_oom_score(plan.process.oom_score_adjustment),
            moved_by_us: plan.namespaces.has(Namespaces::USER),
            network,
            hooks: caller.hooks,
            notifies: plan.process.seccomp.as_ref().is_some_and(Filter::notifies),
            state: caller.state,
            net_devices: net_devices(caller.net_devices, &plan.namespaces)?,
        };
        // As long as the network namespace is not made there is nothing better to do.
        let has_time = outside.network.is_some();
        if (has_time || layout.mode() == Mode::Unified)
            && let Err(error) = outside.complete_group()
        {
            outside.group.undo();
            return Err(error);
        }
        Ok((plan, outside))
    }

    /// The rest of the group, and its limits.
    fn complete_group(&mut self) -> Result<(), Error> {
        if !self.is_complete {
            self.group.complete()?;
            self.group.apply(&self.limits)?;
            if let Some((user, group)) = self.owner_of_cgroup {
                self.group.hand_over(user, group)?;
            }
            if let Some((unit, _)) = &self.unit {
                systemd::Change::begin(unit)?.tell(&self.group)?;
            }
            self.is_complete = true;
        }
        Ok(())
    }

    /// Whether all that is left can be done before there is a process, without waiting.
    fn is_early(&self) -> bool {
        self.is_complete
            && !self.moved_by_us
            && self.maps.is_none()
            && self.oom_score_adjustment.is_none()
            && self.net_devices.is_none()
            && self.network.as_ref().is_none_or(NewNetwork::is_made)
    }

    /// Waits until the network namespace is made.
    fn await_network(&mut self) {
        if let Some(network) = &mut self.network {
            network.wait();
        }
    }

    /// What the process needs for itself.
    fn gifts(&mut self) -> Result<Gifts, Error> {
        let goes_by_itself = self.layout.mode() != Mode::Unified && !self.moved_by_us;
        let entrance = if goes_by_itself { self.group.entrance()? } else { Entrance::default() };
        let network = self.network.take().map(NewNetwork::finish).transpose()?;
        Ok(Gifts { network, entrance })
    }

    /// Everything that the process needs from outside.
    fn attend(&mut self, process: &PidFd, parent: &Parent) -> Result<(), Error> {
        if let Some(maps) = &self.maps {
            linux::process::map_ids(process, &maps.users, &maps.groups)?;
        }
        self.complete_group()?;
        if self.moved_by_us && self.layout.mode() != Mode::Unified {
            self.group.add_v1(process.pid())?;
        }
        if let Some(score) = self.oom_score_adjustment {
            // From outside: the process itself may not be allowed to.
            write_of(process, "oom_score_adj", &score.to_string())?;
        }
        let gifts = self.gifts()?;
        if let Some((devices, joined)) = &self.net_devices {
            match gifts.network.as_ref().or(joined.as_ref()) {
                Some(network) => net_device::hand_over(devices, network.as_fd())?,
                None => {
                    let born_in = linux::process::open_of(process, Namespaces::NETWORK)?;
                    net_device::hand_over(devices, born_in.as_fd())?;
                }
            }
        }
        parent.proceed(process, &gifts)
    }
}

/// Brings the process into the world, and gives it what it needs from there.
fn deliver(
    token: &SingleThreaded,
    plan: Plan,
    gate: Option<OwnedFd>,
    outside: &mut Outside,
) -> Result<(PidFd, Parent), Error> {
    let (parent, child) = channel::pair(std::mem::take(&mut outside.state))?;
    if plan.namespaces.has(Namespaces::TIME) {
        // The kernel lets nobody change these while a task shares the memory.
        outside.await_network();
    }
    let is_early = outside.is_early();
    if is_early {
        // Said before there is anybody to hear it: then nobody waits for it.
        parent.promise(&outside.gifts()?)?;
    }
    let options = CloneOptions {
        namespaces: plan.namespaces.new.without(Namespaces::CGROUP | Namespaces::TIME),
        cgroup: outside.group.v2_dirfd(),
        close_in_child: Some(parent.as_fd()),
        as_sibling: false,
    };
    let born = BirthNamespaces::enter(token, &plan.namespaces)?;
    let process = linux::process::clone(token, &options, || init::container(plan, child, gate));
    born.leave()?;
    let process = process?;
    outside.unit = None;
    let attended = if is_early { Ok(()) } else { outside.attend(&process, &parent) };
    match attended {
        Ok(()) => Ok((process, parent)),
        Err(error) => {
            let error = parent.explain(error);
            end(&process);
            Err(error)
        }
    }
}

/// Kills and reaps a process whose container will not be.
pub(crate) fn end(process: &PidFd) {
    // It may have ended, and been reaped, already: the error that led here says more.
    drop(process.signal(9));
    drop(process.wait());
}

/// The namespaces a process can only be born into: the caller joins them for its children, or makes
/// them, and comes back. A time namespace is of them: its clocks are set before anybody is in it.
struct BirthNamespaces {
    own: Vec<(Namespaces, OwnedFd)>,
}

impl BirthNamespaces {
    fn enter(token: &SingleThreaded, namespaces: &NamespacePlan) -> Result<Self, Error> {
        let mut born = Self { own: Vec::new() };
        match born.enter_each(token, namespaces) {
            Ok(()) => Ok(born),
            Err(error) => {
                // What led here says more.
                drop(born.leave());
                Err(error)
            }
        }
    }

    fn enter_each(
        &mut self,
        token: &SingleThreaded,
        namespaces: &NamespacePlan,
    ) -> Result<(), Error> {
        if namespaces.new.contains(Namespaces::TIME) {
            self.own.push((Namespaces::TIME, linux::process::open_own(Namespaces::TIME)?));
            linux::process::unshare(token, Namespaces::TIME)?;
            set_clocks(&namespaces.clocks)?;
        }
        for (kind, namespace) in &namespaces.joined {
            if matches!(*kind, Namespaces::PID | Namespaces::TIME) {
                self.own.push((*kind, linux::process::open_own(*kind)?));
                linux::process::join(namespace.as_fd(), *kind)?;
            }
        }
        Ok(())
    }

    /// Back to the caller's own.
    fn leave(self) -> Result<(), Error> {
        for (kind, namespace) in &self.own {
            linux::process::join(namespace.as_fd(), *kind)?;
        }
        Ok(())
    }
}

/// The clocks of the time namespace that the next child will be in.
fn set_clocks(clocks: &str) -> Result<(), Error> {
    const FILE: &str = "/proc/self/timens_offsets";
    if clocks.is_empty() {
        return Ok(());
    }
    fs::write(FILE, clocks).map_err(|error| linux::Error::from_io("write", FILE, &error).into())
}

/// With them a copy of the network namespace if it is joined: which the process will do some time.
fn net_devices(
    devices: NetDevices,
    namespaces: &NamespacePlan,
) -> Result<Option<(NetDevices, Option<OwnedFd>)>, Error> {
    if devices.is_empty() {
        return Ok(None);
    }
    let joined = namespaces.joined.iter().find(|(kind, _)| *kind == Namespaces::NETWORK);
    let joined = joined.map(|(_, namespace)| crate::copy_of(namespace)).transpose()?;
    Ok(Some((devices, joined)))
}

/// What is right already is left, as lowering wants a capability.
fn new_oom_score(wanted: Option<i32>) -> Option<i32> {
    let is_present = |wanted: &i32| {
        let present = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        present.trim().parse() == Ok(*wanted)
    };
    wanted.filter(|wanted| !is_present(wanted))
}

fn write_of(process: &PidFd, file: &str, text: &str) -> Result<(), Error> {
    let path = format!("/proc/{}/{file}", process.pid().as_raw_nonzero());
    fs::write(&path, text).map_err(|error| linux::Error::from_io("write", &path, &error).into())
}
