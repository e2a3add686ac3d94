//! From a configuration to a plan: every check, and everything that must be opened on the host, is
//! done here, before the container's process exists. What is left in the plan has no choices.

mod device;
mod id_map;
mod label;
mod landlock;
mod limit;
mod mount;
mod namespace;
mod option;
mod process;
mod scheduling;
mod sysctl;

pub(crate) use device::DevicePlan;
pub(crate) use id_map::IdMaps;
pub use landlock::LANDLOCK;
pub(crate) use landlock::LandlockPlan;
pub(crate) use limit::limits;
pub(crate) use mount::{MountPlan, MountSource, NewMount};
pub(crate) use namespace::{NamespacePlan, kind_of, wants_network};
pub use option::mount_options;
pub(crate) use option::{Recursion, propagation};
pub(crate) use process::{ProcessPlan, plan as process};
pub(crate) use scheduling::SchedulingPlan;
pub use scheduling::{MEMORY_FLAGS, MEMORY_MODES};

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::mount::{Attributes, Propagation};
use linux::process::{Namespaces, SingleThreaded};
use oci::runtime::{Linux, Spec, State};

use self::id_map::IdMapper;
use crate::net_device::{self, NetDevices};
use crate::request::{Confinement, CreateRequest, Rootfs, Stdio};
use crate::{Error, hook};

/// All that the container's first process does.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The name of its session keyring; `None` keeps the caller's.
    pub keyring: Option<CString>,
    /// Namespaces to join and to make.
    pub namespaces: NamespacePlan,
    /// The root file system, detached.
    pub rootfs: OwnedFd,
    /// How the root spreads when all is done; private when `None`.
    pub rootfs_propagation: Option<(Propagation, Recursion)>,
    /// Whether the root becomes read-only.
    pub rootfs_read_only: bool,
    /// Mounts, in order.
    pub mounts: Vec<MountPlan>,
    /// `SELinux`'s label of what is in new file systems.
    pub mount_label: Option<String>,
    /// Nodes and links in `/dev`.
    pub devices: Vec<DevicePlan>,
    /// Paths that cannot be read.
    pub masked_paths: Vec<PathBuf>,
    /// Paths that cannot be written.
    pub read_only_paths: Vec<PathBuf>,
    /// Kernel parameters: path below `/proc/sys`, value.
    pub sysctls: Vec<(PathBuf, String)>,
    /// Host name.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// The control group's path.
    pub cgroup: String,
    /// To whom it is handed over: user and group on the host.
    pub owner_of_cgroup: Option<(u32, u32)>,
    /// What is run.
    pub process: ProcessPlan,
    /// Whether the caller has hooks of its own to run.
    pub waits_for_hooks: bool,
    /// Hooks of the container's own process.
    pub hooks: Option<hook::OfContainer>,
    /// Where hooks look for the root, which is otherwise nowhere to be seen before it is the root.
    pub place: Option<PathBuf>,
}

/// What the caller does beside.
#[derive(Debug)]
pub(crate) struct CallerPlan {
    /// Hooks to run when all is mounted.
    pub hooks: Option<hook::OfCaller>,
    /// Interfaces of the host's to hand over.
    pub net_devices: NetDevices,
    /// What hooks and listeners are told, but for number and status.
    pub state: State,
}

/// Reads the request and opens what it names.
pub(crate) fn plan(
    token: &SingleThreaded,
    request: CreateRequest<'_>,
) -> Result<(Plan, CallerPlan), Error> {
    let spec = request.spec;
    check_id(request.id)?;
    check_version(&spec.oci_version)?;
    refuse_unsupported(spec)?;
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let process =
        spec.process.as_ref().ok_or_else(|| Error::invalid("process", "there is none to run"))?;
    let terminal = matches!(request.stdio, Stdio::Terminal);
    let namespaces = namespace::plan(linux, request.network_namespace)?;
    check_names(spec, &namespaces)?;
    let user_namespace = namespaces.has(Namespaces::USER);
    let state = state_of(spec, request.id, request.bundle);
    let (hooks_of_caller, hooks) = match &spec.hooks {
        Some(hooks) => hook::plan(hooks, &state)?,
        None => (None, None),
    };
    let looks = hooks.as_ref().is_some_and(hook::OfContainer::look_at_root);
    let place = match &request.rootfs {
        Rootfs::Directory(path) if looks => Some(path.clone()),
        _ => None,
    };
    let net_devices = net_devices(linux, &namespaces)?;
    let mut mapper = IdMapper::new(token, &namespaces);
    let plan = Plan {
        waits_for_hooks: hooks_of_caller.is_some(),
        hooks,
        place,
        keyring: keyring(request.id, request.has_own_keyring)?,
        rootfs: open_rootfs(request.rootfs)?,
        rootfs_propagation: rootfs_propagation(linux)?,
        rootfs_read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
        mount_label: label::of_mounts(linux)?,
        mounts: mount::plan(&spec.mounts, request.bundle, &mut |mount| mapper.namespace_of(mount))?,
        devices: device::plan(linux, user_namespace, terminal)?,
        masked_paths: absolute_paths("linux.maskedPaths", &linux.masked_paths)?,
        read_only_paths: absolute_paths("linux.readonlyPaths", &linux.readonly_paths)?,
        sysctls: sysctl::plan(&linux.sysctl, &namespaces)?,
        hostname: spec.hostname.clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname.clone().filter(|name| !name.is_empty()),
        cgroup: match request.unit {
            Some(unit) => unit.cgroup().to_owned(),
            None => cgroup_path(request.id, linux)?,
        },
        owner_of_cgroup: owner_of_cgroup(spec, linux, &namespaces),
        process: process::plan(
            process,
            &Confinement::of_spec(spec),
            request.stdio,
            request.preserve_descriptors,
        )?,
        namespaces,
    };
    Ok((plan, CallerPlan { hooks: hooks_of_caller, net_devices, state }))
}

/// The name of a container's session keyring, which all its processes join.
pub(crate) fn keyring(id: &str, is_own: bool) -> Result<Option<CString>, Error> {
    let name = || CString::new(format!("_ses.{id}"));
    let name = is_own.then(name).transpose();
    name.map_err(|_| Error::invalid("id", format!("{id:?} has a zero byte")))
}

fn state_of(spec: &Spec, id: &str, bundle: &Path) -> State {
    State {
        oci_version: oci::runtime::VERSION.to_owned(),
        id: id.to_owned(),
        bundle: bundle.display().to_string(),
        annotations: spec.annotations.clone(),
        ..State::default()
    }
}

fn net_devices(linux: &Linux, namespaces: &NamespacePlan) -> Result<NetDevices, Error> {
    if !linux.net_devices.is_empty() && !namespaces.has(Namespaces::NETWORK) {
        let reason = "needs a network namespace of the container's own";
        return Err(Error::invalid("linux.netDevices", reason));
    }
    net_device::plan(&linux.net_devices)
}

/// The rule of container ids: what can be a file name, and no more.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.chars().all(allowed) {
        return Err(Error::invalid("id", format!("{id:?} is not made of [A-Za-z0-9_+.-]")));
    }
    Ok(())
}

/// A later minor version may be read, as what is unknown then is passed over; a later major one means
/// something else. Tools leave it out, too.
fn check_version(version: &str) -> Result<(), Error> {
    let major = version.split('.').next().unwrap_or_default();
    match major.parse::<u32>() {
        _ if version.is_empty() => Ok(()),
        Ok(0 | 1) => Ok(()),
        _ => Err(Error::unsupported(format!("ociVersion {version:?}"))),
    }
}

fn check_names(spec: &Spec, namespaces: &NamespacePlan) -> Result<(), Error> {
    let named =
        [&spec.hostname, &spec.domainname].into_iter().flatten().any(|name| !name.is_empty());
    if named && !namespaces.has(Namespaces::UTS) {
        return Err(Error::invalid("hostname", "needs a UTS namespace of the container's own"));
    }
    Ok(())
}

/// What is not built yet is refused, never passed over.
fn refuse_unsupported(spec: &Spec) -> Result<(), Error> {
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    if linux.intel_rdt.is_some() {
        return Err(Error::unsupported("linux.intelRdt"));
    }
    Ok(())
}

fn open_rootfs(rootfs: Rootfs) -> Result<OwnedFd, Error> {
    let tree = match rootfs {
        Rootfs::Mount(tree) => tree,
        Rootfs::Directory(path) => linux::mount::bind(&path, true)?,
    };
    let private = Attributes { propagation: Some(Propagation::Private), ..Attributes::default() };
    linux::mount::set_attributes(&tree, &private, true)?;
    Ok(tree)
}

fn rootfs_propagation(linux: &Linux) -> Result<Option<(Propagation, Recursion)>, Error> {
    match linux.rootfs_propagation.as_deref() {
        None | Some("") => Ok(None),
        Some(word) => match propagation(word) {
            Some(found) => Ok(Some(found)),
            None => Err(Error::invalid("linux.rootfsPropagation", word)),
        },
    }
}

fn absolute_paths(member: &str, paths: &[String]) -> Result<Vec<PathBuf>, Error> {
    let check = |path: &String| {
        if path.starts_with('/') {
            Ok(PathBuf::from(path))
        } else {
            Err(Error::invalid(member, format!("{path:?} is not absolute")))
        }
    };
    paths.iter().map(check).collect()
}

/// The control group that a container of this configuration gets.
///
/// # Errors
/// [`Error::Invalid`] for a path that is none.
pub fn group_of(id: &str, spec: &Spec) -> Result<String, Error> {
    let empty = Linux::default();
    cgroup_path(id, spec.linux.as_ref().unwrap_or(&empty))
}

/// A container that sees its own group alone, and has it mounted to be written, gets it for its
/// process's user (config-linux.md, "Cgroup ownership"): without a user namespace root has it already.
fn owner_of_cgroup(spec: &Spec, linux: &Linux, namespaces: &NamespacePlan) -> Option<(u32, u32)> {
    let is_writable = |mount: &oci::runtime::Mount| {
        let is_cgroup = matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"));
        is_cgroup && !mount.options.iter().any(|option| option == "ro" || option == "rro")
    };
    let is_own = namespaces.maps.is_some() && namespaces.new.contains(Namespaces::CGROUP);
    if !is_own || !spec.mounts.iter().any(is_writable) {
        return None;
    }
    let on_host = |maps: &[oci::runtime::IdMapping], id: u32| {
        let found = |map: &oci::runtime::IdMapping| {
            let offset = id.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        };
        maps.iter().find_map(found)
    };
    let user = &spec.process.as_ref()?.user;
    Some((on_host(&linux.uid_mappings, user.uid)?, on_host(&linux.gid_mappings, user.gid)?))
}

/// A control group is never relative to the caller's: that would nest containers under whoever
/// happened to start them.
pub(crate) fn cgroup_path(id: &str, linux: &Linux) -> Result<String, Error> {
    let path = match linux.cgroups_path.as_deref() {
        None | Some("") => return Ok(format!("/brig/{id}")),
        Some(path) => path,
    };
    let wrong = |reason| Err(Error::invalid("linux.cgroupsPath", format!("{path:?} {reason}")));
    if !path.starts_with('/') {
        return wrong("is not absolute");
    }
    let parts = || Path::new(path).components().skip(1);
    if parts().next().is_none() {
        return wrong("is the root of all control groups");
    }
    if parts().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return wrong("has `..`");
    }
    Ok(path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::{cgroup_path, check_id};
    use oci::runtime::Linux;

    #[test]
    fn ids_are_file_names() {
        for id in ["a", "A_b+c-1.2", "0123456789abcdef"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn control_groups_are_absolute() {
        let of = |path: &str| {
            let linux = Linux { cgroups_path: Some(path.to_owned()), ..Linux::default() };
            cgroup_path("x", &linux).ok()
        };
        assert_eq!(of("").as_deref(), Some("/brig/x"));
        assert_eq!(of("/a/b/").as_deref(), Some("/a/b"));
        for path in ["a", "/", "/a/../b", "../a", "system.slice:runc:x"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
