//! Making processes of a checkpoint again.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::cgroup::{Group, Layout, Limits, Version};
use linux::mount::{Attributes, Propagation};
use linux::netlink::Batch;
use linux::path::{FileType, Root};
use linux::process::{Namespaces, Pid, PidFd, SingleThreaded};
use linux::route::change;
use oci::runtime::{Linux, Resources, Spec, State, Status};

use super::external;
use super::image::{self, Opened, Places, StreamName};
use super::judge::Judge;
use super::rpc::{self, Kind, ManageGroups, Notice, Options, Switch};
use super::worker::{self, Criu, Surroundings};
use crate::Error;
use crate::plan::{self, CallerPlan, MountPlan, MountSource, Plan, kind_of};
use crate::request::{CreateRequest, Rootfs, Stdio};
use crate::systemd::{Change, Keeper, Unit};

/// A container to be restored by [`restore`].
#[derive(Debug)]
pub struct RestoreRequest<'a> {
    /// Who reads the checkpoint.
    pub criu: &'a Criu,
    /// Where it is: absolute paths.
    pub places: Places<'a>,
    /// The container's id.
    pub id: &'a str,
    /// Its configuration, which leads.
    pub spec: &'a Spec,
    /// The directory relative paths of the configuration start from.
    pub bundle: &'a Path,
    /// The root file system's directory.
    pub rootfs: &'a Path,
    /// Any directory, an absolute path: the root is mounted there, where nobody else sees it.
    pub mount_point: &'a Path,
    /// What takes the place of standard streams that led outside.
    pub streams: [BorrowedFd<'a>; 3],
    /// What is switched on.
    pub switches: &'a [Switch],
    /// The unit by which systemd makes its control group, if it is to; whoever asks stops it in the
    /// end, and also when the restoring fails.
    pub unit: Option<&'a Unit>,
    /// What of its control groups is made again.
    pub manage_groups: ManageGroups,
    /// An `AppArmor` profile or `SELinux` label instead of the one written down.
    pub lsm_profile: Option<&'a str>,
    /// An `SELinux` context of mounts instead of the one written down.
    pub lsm_mount_context: Option<&'a str>,
}

/// A container that goes on. Its first process is a child of the caller.
#[derive(Debug)]
pub struct Restored {
    /// The process.
    pub process: PidFd,
    /// The other end of its terminal, if that was held outside.
    pub terminal: Option<OwnedFd>,
    /// Its control group.
    pub cgroup: Group,
    /// What is said of it.
    pub state: State,
}

/// Its file in the work directory.
const LOG: &str = "restore.log";

/// Restores a container.
///
/// The calling process becomes non-dumpable, and stays so.
///
/// # Errors
/// What is wrong with the configuration or with the checkpoint; [`Error::Criu`] for what CRIU tried
/// in vain; [`Error::Unfit`]. Nothing is left behind then.
pub fn restore(token: &SingleThreaded, request: &RestoreRequest<'_>) -> Result<Restored, Error> {
    external::refuse_unsupported(request.spec)?;
    linux::process::set_dumpable(false)?;
    let opened = request.places.check(LOG)?;
    let streams = opened.read_descriptors()?;
    worker::check_version(token, request.criu)?;
    let resources = request.spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let limits = plan::limits(resources.unwrap_or(&Resources::default()))?;
    let (plan, caller) = plan::plan(token, as_new(request))?;
    let (mut group, keeper) = group(token, request, &plan)?;
    let result = limit(&mut group, &limits, request.unit).and_then(|()| {
        let keeper = Cell::new(keeper);
        let attempt = Attempt { request, opened: &opened, plan: &plan, group: &group, keeper };
        attempt.run(token, &caller, &streams)
    });
    match result {
        Ok((process, terminal)) => {
            let pid = process.pid().as_raw_nonzero().get();
            let state = State { status: Status::Running, pid, ..caller.state };
            Ok(Restored { process, terminal, cgroup: group, state })
        }
        Err(error) => {
            // What CRIU could not end itself is in here.
            drop(group.kill());
            group.undo();
            opened.tidy();
            Err(opened.explain(error))
        }
    }
}

/// The container's control group, and who keeps it until somebody is in it.
fn group(
    token: &SingleThreaded,
    request: &RestoreRequest<'_>,
    plan: &Plan,
) -> Result<(Group, Option<Keeper>), Error> {
    let layout = Layout::detect()?;
    match request.unit {
        None => Ok((Group::create(layout, &plan.cgroup)?, None)),
        Some(unit) => unit.begin(token, layout).map(|(group, keeper)| (group, Some(keeper))),
    }
}

fn limit(group: &mut Group, limits: &Limits, unit: Option<&Unit>) -> Result<(), Error> {
    group.apply(limits)?;
    unit.map_or(Ok(()), |unit| Change::begin(unit.name())?.tell(group))
}

/// The plan of a new container checks and opens what that of a restored one needs.
fn as_new<'a>(request: &RestoreRequest<'a>) -> CreateRequest<'a> {
    CreateRequest {
        id: request.id,
        spec: request.spec,
        bundle: request.bundle,
        rootfs: Rootfs::Directory(request.rootfs.to_owned()),
        stdio: Stdio::Inherit,
        network_namespace: None,
        preserve_descriptors: 0,
        has_own_keyring: true,
        unit: request.unit,
        gate: None,
    }
}

/// One run of CRIU.
struct Attempt<'a> {
    request: &'a RestoreRequest<'a>,
    opened: &'a Opened,
    plan: &'a Plan,
    group: &'a Group,
    keeper: Cell<Option<Keeper>>,
}

impl Attempt<'_> {
    fn run(
        &self,
        token: &SingleThreaded,
        caller: &CallerPlan,
        streams: &[StreamName],
    ) -> Result<(PidFd, Option<OwnedFd>), Error> {
        let mut keep = Vec::new();
        let mut options = self.options()?;
        // CRIU has a standard error of its own.
        let own = self.request.streams.map(|stream| stream.try_clone_to_owned());
        for (name, stream) in streams.iter().zip(&own) {
            let stream = stream.as_ref();
            let stream =
                stream.map_err(|error| linux::Error::from_io("copy", "a stream", error))?;
            // CRIU lets an image say whose controlling terminal it is to be: only who asks for it
            // gives away his own.
            let is_given = |name: &str| {
                !name.starts_with("tty[") || self.request.switches.contains(&Switch::ShellJob)
            };
            if let StreamName::Outside(name) = name
                && is_given(name)
            {
                options.inherit(name, image::number_of(stream)?);
                keep.push(stream.as_fd());
            }
        }
        for (kind, namespace) in &self.plan.namespaces.joined {
            self.join(*kind, namespace, &mut options, &mut keep)?;
        }
        let judge = Judge::new(self.request.spec, self.plan, self.group, self.request.lsm_profile)?;
        let surroundings = Surroundings { group: Some(self.group), keep };
        let (mut process, mut terminal) = (None, None);
        let mut attend = |criu: &PidFd, notice: &Notice, descriptors: Vec<OwnedFd>| {
            // CRIU itself is in the group by now.
            drop(self.keeper.take());
            match notice.script.as_str() {
                "setup-namespaces" => self.set_up(&first(notice)?, caller),
                "orphan-pts-master" => {
                    terminal = descriptors.into_iter().next();
                    self.wants_terminal()
                }
                "post-restore" => {
                    process = Some(first(notice)?);
                    Ok(())
                }
                "pre-resume" => match &process {
                    Some(process) => {
                        self.close_root(token, process)?;
                        judge.all(criu, process)
                    }
                    None => Err(no_process()),
                },
                _ => Ok(()),
            }
        };
        let request = rpc::request(Kind::Restore, &options);
        let prepare = || self.prepare(token);
        worker::ask(token, self.request.criu, &surroundings, &prepare, &request, &mut attend)?;
        let process = process.ok_or_else(no_process)?;
        Ok((process, terminal))
    }

    fn options(&self) -> Result<Options, Error> {
        let request = self.request;
        let mut options = Options::new(image::IMAGE_NUMBER, LOG, request.manage_groups);
        if self.opened.work.is_some() {
            options.number(rpc::WORK_DIRECTORY, image::WORK_NUMBER);
        }
        options.number(rpc::EVASIVE_DEVICES, 1).number(rpc::AS_SIBLING, 1);
        options.text(rpc::ROOT, &request.mount_point.display().to_string());
        options.switches(request.switches);
        for hierarchy in Layout::detect()?.hierarchies() {
            let controllers = match hierarchy.version {
                Version::V1 => hierarchy.controllers.join(","),
                Version::V2 => String::new(),
            };
            options.group_root(&controllers, self.group.path());
        }
        let labels = [
            (rpc::LSM_PROFILE, request.lsm_profile),
            (rpc::LSM_MOUNT_CONTEXT, request.lsm_mount_context),
        ];
        for (field, label) in labels {
            if let Some(label) = label {
                options.text(field, label);
            }
        }
        let root = Root::from_fd(crate::copy_of(&self.plan.rootfs)?);
        for mount in external::mounts(request.spec, request.bundle, &root, self.group.path())? {
            options.external_mount(&mount.destination, &mount.source);
        }
        options.external_mount("/dev/null", "/dev/null");
        Ok(options)
    }

    /// Without one who holds its other end it would be hung up.
    fn wants_terminal(&self) -> Result<(), Error> {
        let process = self.request.spec.process.as_ref();
        if process.is_some_and(|process| process.terminal) {
            return Ok(());
        }
        let reason = "it has a terminal that was held outside, and process.terminal is false";
        Err(Error::Unfit { reason: reason.to_owned() })
    }

    /// Network and process namespaces are given by descriptor, all others by their file.
    fn join<'b>(
        &self,
        kind: Namespaces,
        namespace: &'b OwnedFd,
        options: &mut Options,
        keep: &mut Vec<BorrowedFd<'b>>,
    ) -> Result<(), Error> {
        let empty = Linux::default();
        let linux = self.request.spec.linux.as_ref().unwrap_or(&empty);
        let all = external::joined(linux);
        let Some(joined) = all.iter().find(|joined| kind_of(joined.kind) == kind) else {
            return Ok(());
        };
        match external::key_of(joined.kind) {
            Some((_, key)) => {
                options.inherit(key, image::number_of(namespace)?);
                keep.push(namespace.as_fd());
            }
            None => options.join_namespace(kind.file_name(), &joined.path),
        }
        Ok(())
    }

    /// In CRIU's process: a mount namespace of its own, in it the root at its place, and in that a
    /// place for every mount.
    fn prepare(&self, token: &SingleThreaded) -> Result<Vec<OwnedFd>, linux::Error> {
        linux::process::unshare(token, Namespaces::MOUNT)?;
        linux::mount::change_propagation("/", Propagation::Private, true)?;
        self.prepare_mounts()?;
        if self.plan.process.no_new_privileges {
            // CRIU 3.17 does not make this so again; but what it makes inherits it.
            linux::process::set_no_new_privileges()?;
        }
        self.opened.again(&self.request.places)
    }

    fn prepare_mounts(&self) -> Result<(), linux::Error> {
        linux::mount::attach(&self.plan.rootfs, &Root::open(self.request.mount_point)?)?;
        let root = Root::open(self.request.mount_point)?;
        let mut bound = Vec::new();
        let made = self
            .plan
            .mounts
            .iter()
            .filter(|mount| !self.is_on_new_mount(mount))
            .try_for_each(|mount| make_place(mount, &root, &mut bound));
        // CRIU mounts them itself.
        for tree in bound.iter().rev() {
            linux::mount::detach(tree)?;
        }
        made
    }

    /// What lies on a file system of the container's own is in the checkpoint.
    fn is_on_new_mount(&self, mount: &MountPlan) -> bool {
        let is_new = |other: &&MountPlan| !matches!(other.source, MountSource::Bind { .. });
        let below = |other: &MountPlan| {
            mount.destination != other.destination
                && mount.destination.starts_with(&other.destination)
        };
        self.plan.mounts.iter().filter(is_new).any(below)
    }

    /// CRIU leaves the root as it found it, and has needed a directory in it. What goes wrong here the
    /// judge sees.
    fn close_root(&self, token: &SingleThreaded, container: &PidFd) -> Result<(), Error> {
        if !self.plan.rootfs_read_only {
            return Ok(());
        }
        let inside = linux::process::spawn(token, || {
            linux::process::exit(i32::from(make_root_read_only(container).is_err()))
        })?;
        inside.wait()?;
        Ok(())
    }

    /// When the namespaces are there, and nothing else yet.
    fn set_up(&self, process: &PidFd, caller: &CallerPlan) -> Result<(), Error> {
        if self.plan.namespaces.new.contains(Namespaces::NETWORK)
            || self.plan.namespaces.network_follows
        {
            let namespace = linux::process::open_of(process, Namespaces::NETWORK)?;
            let mut socket = crate::net_device::open_in(namespace.as_fd())?;
            let mut batch = Batch::new();
            change::set_up_by_name(&mut batch, "lo");
            socket.execute(&mut batch, "lo")?;
        }
        caller.hooks.as_ref().map_or(Ok(()), |hooks| hooks.run(process))
    }
}

/// In a container's mount namespace.
fn make_root_read_only(container: &PidFd) -> Result<(), linux::Error> {
    linux::process::join_of(container, Namespaces::MOUNT)?;
    let read_only = Attributes { read_only: Some(true), ..Attributes::default() };
    linux::mount::set_attributes(&Root::open(Path::new("/"))?, &read_only, false)
}

/// The process that a notice is about.
fn first(notice: &Notice) -> Result<PidFd, Error> {
    Ok(PidFd::open(Pid::from_raw(notice.process).ok_or_else(no_process)?)?)
}

fn no_process() -> Error {
    Error::Criu { message: "CRIU failed: it does not say which process it has made".to_owned() }
}

/// As for a new container; bind mounts are made too, as others may lie on them.
fn make_place<'a>(
    mount: &'a MountPlan,
    root: &Root,
    bound: &mut Vec<&'a OwnedFd>,
) -> Result<(), linux::Error> {
    let destination = mount.destination.as_path();
    let target = match &mount.source {
        MountSource::Remount { .. } => return Ok(()),
        MountSource::Bind { directory: false, .. } => file_place(root, destination)?,
        _ => root.create_dir_all(destination, 0o755)?,
    };
    if let MountSource::Bind { tree, .. } = &mount.source {
        linux::mount::attach(tree, &target)?;
        bound.push(tree);
    }
    Ok(())
}

fn file_place(root: &Root, destination: &Path) -> Result<OwnedFd, linux::Error> {
    if let Some(found) = root.find(destination)? {
        let status = rustix::fs::fstat(&found)
            .map_err(|errno| linux::Error::new("look at", destination.display(), errno))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            return Ok(found);
        }
    }
    drop(root.create_file(destination, 0o644)?);
    root.locate(destination)
}
