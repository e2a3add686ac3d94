//! Options to an OCI runtime configuration: pure. What depends on the host was looked up before
//! and comes in as plain values, so that the same inputs give the same bytes.

mod capabilities;
pub(crate) mod devices;
pub(crate) mod mounts;
mod process;
mod resources;

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::runtime::{Linux, Namespace, NamespaceKind, Root, Seccomp, Spec, VERSION};

use crate::container::record::PlannedMount;
use crate::container::user::Identity;
use crate::container::{ContainerSpec, NetworkMode, SecurityOptions};
use crate::error::{Error, Result};

pub(crate) use capabilities::capabilities;
pub(crate) use devices::HostDevice;
pub(crate) use process::{ExecProcess, exec_process};

/// The program that is PID 1 of containers with `--init`, inside the container.
pub(crate) const INIT_PATH: &str = "/sbin/brig-init";

/// What a configuration is made from.
#[derive(Debug, Clone)]
pub(crate) struct Inputs<'a> {
    /// The container's id.
    pub(crate) id: &'a str,
    /// The group that this instance's containers are made in: `/brig-<id6>`.
    pub(crate) cgroup_parent: &'a str,
    /// The options, merged with the image's configuration.
    pub(crate) spec: &'a ContainerSpec,
    /// The host name inside.
    pub(crate) hostname: &'a str,
    /// Who the process runs as.
    pub(crate) identity: &'a Identity,
    /// The mounts decided on.
    pub(crate) mounts: &'a [PlannedMount],
    /// Host path → path inside of the files written for this container, read-write binds.
    pub(crate) files: &'a [(PathBuf, &'static str)],
    /// Our own executable, when it is PID 1.
    pub(crate) init: Option<&'a str>,
    /// Namespaces.
    pub(crate) namespaces: &'a Namespaces,
    /// Devices of the host which the container gets.
    pub(crate) devices: &'a [HostDevice],
    /// Host path of a block device → major and minor number, for rates and weights.
    pub(crate) block_devices: &'a BTreeMap<String, (u32, u32)>,
    /// What is masked unless the options say something else.
    pub(crate) masked_paths: &'a [String],
    /// Capabilities this process itself could give away, without `CAP_`.
    pub(crate) available: &'a [String],
    /// The filter of system calls; absent for none.
    pub(crate) seccomp: Option<Seccomp>,
}

/// Where each namespace comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Process ids.
    pub(crate) pid: NamespaceSource,
    /// Network; one that comes as a descriptor counts as new.
    pub(crate) network: NamespaceSource,
    /// System V IPC.
    pub(crate) ipc: NamespaceSource,
    /// Host name.
    pub(crate) uts: NamespaceSource,
    /// Control groups' root.
    pub(crate) cgroup: NamespaceSource,
}

/// Where a namespace comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum NamespaceSource {
    /// A new one.
    #[default]
    New,
    /// The host's.
    Host,
    /// This one: `/proc/PID/ns/…`.
    Path(String),
}

/// Security options, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Confinement {
    /// Which filter of system calls.
    pub(crate) seccomp: SeccompChoice,
    /// Exec gains no privileges.
    pub(crate) no_new_privileges: bool,
    /// Nothing of `/proc` and `/sys` is masked or read-only.
    pub(crate) system_paths_unconfined: bool,
    /// `AppArmor` profile.
    pub(crate) apparmor: Option<String>,
}

/// Which filter of system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SeccompChoice {
    /// The built-in one.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// This one, as JSON text.
    Profile(String),
}

/// Makes the configuration.
///
/// # Errors
/// `Invalid` for options that mean nothing, `Unsupported` for those brig cannot do.
pub(crate) fn generate(inputs: &Inputs<'_>) -> Result<Spec> {
    let spec = inputs.spec;
    let security = &spec.host.security;
    let confinement = confinement(security)?;
    let shares_uts = inputs.namespaces.uts != NamespaceSource::New;
    let (masked_paths, readonly_paths) = system_paths(security, &confinement, inputs.masked_paths);
    Ok(Spec {
        oci_version: VERSION.to_owned(),
        process: Some(process::container_process(inputs, &confinement)?),
        root: Some(Root { path: "rootfs".to_owned(), readonly: security.read_only_root }),
        hostname: (!shares_uts).then(|| inputs.hostname.to_owned()),
        domainname: spec.domainname.clone().filter(|name| !shares_uts && !name.is_empty()),
        mounts: mounts::mounts(inputs)?,
        hooks: None,
        annotations: spec.annotations.clone(),
        linux: Some(Linux {
            sysctl: sysctls(inputs),
            resources: Some(resources::resources(inputs)?),
            cgroups_path: Some(cgroup_path(inputs)),
            namespaces: namespaces(inputs.namespaces),
            devices: devices::nodes(inputs.devices),
            seccomp: inputs.seccomp.clone(),
            rootfs_propagation: mounts::root_propagation(inputs.mounts),
            masked_paths,
            readonly_paths,
            ..Linux::default()
        }),
    })
}

/// The container's control group.
fn cgroup_path(inputs: &Inputs<'_>) -> String {
    let parent = inputs.spec.host.cgroup_parent.as_deref().filter(|parent| !parent.is_empty());
    let parent = parent.unwrap_or(inputs.cgroup_parent);
    format!("{}/{}", parent.trim_end_matches('/'), inputs.id)
}

/// Masked and read-only paths in force; `masked` are those masked by default.
pub(crate) fn system_paths(
    security: &SecurityOptions,
    confinement: &Confinement,
    masked: &[String],
) -> (Vec<String>, Vec<String>) {
    let open = security.privileged || confinement.system_paths_unconfined;
    let choose = |given: &Option<Vec<String>>, default: Vec<String>| match given {
        Some(paths) => paths.clone(),
        None if open => Vec::new(),
        None => default,
    };
    let read_only = policy::READ_ONLY_PATHS.map(str::to_owned).into();
    (choose(&security.masked_paths, masked.to_vec()), choose(&security.read_only_paths, read_only))
}

fn namespaces(wanted: &Namespaces) -> Vec<Namespace> {
    let kinds = [
        (NamespaceKind::Pid, &wanted.pid),
        (NamespaceKind::Network, &wanted.network),
        (NamespaceKind::Ipc, &wanted.ipc),
        (NamespaceKind::Uts, &wanted.uts),
        (NamespaceKind::Cgroup, &wanted.cgroup),
    ];
    let own = Namespace { kind: NamespaceKind::Mount, path: None };
    let chosen = kinds.into_iter().filter_map(|(kind, source)| match source {
        NamespaceSource::New => Some(Namespace { kind, path: None }),
        NamespaceSource::Path(path) => Some(Namespace { kind, path: Some(path.clone()) }),
        NamespaceSource::Host => None,
    });
    std::iter::once(own).chain(chosen).collect()
}

/// The kernel parameters asked for. In a network namespace of its own a container may also use
/// low ports and send pings without privileges: nobody else is reached by either.
fn sysctls(inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let mut sysctls = inputs.spec.host.sysctls.clone();
    let shared = matches!(inputs.spec.host.network.mode, NetworkMode::Container(_));
    if inputs.namespaces.network == NamespaceSource::New && !shared {
        let open = [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
        ];
        for (name, value) in open {
            sysctls.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    sysctls
}

/// Understands the security options.
///
/// # Errors
/// `Invalid` for a word that is none, `Unsupported` for labels.
pub(crate) fn confinement(security: &SecurityOptions) -> Result<Confinement> {
    let mut confinement = Confinement::default();
    if security.privileged {
        confinement.seccomp = SeccompChoice::Unconfined;
    }
    for option in &security.options {
        let (key, value) = option
            .split_once('=')
            .or_else(|| option.split_once(':'))
            .unwrap_or((option.as_str(), ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => confinement.no_new_privileges = true,
            ("no-new-privileges", "false") => confinement.no_new_privileges = false,
            ("seccomp", "unconfined") => confinement.seccomp = SeccompChoice::Unconfined,
            ("seccomp", "builtin" | "default") => confinement.seccomp = SeccompChoice::Default,
            ("seccomp", text) if text.trim_start().starts_with('{') => {
                confinement.seccomp = SeccompChoice::Profile(text.to_owned());
            }
            ("systempaths", "unconfined") => confinement.system_paths_unconfined = true,
            ("apparmor", "unconfined" | "") => confinement.apparmor = None,
            ("apparmor", profile) => confinement.apparmor = Some(profile.to_owned()),
            ("label", "disable") => {}
            ("label", _) => {
                return Err(Error::Unsupported(format!(
                    "security option '{option}' is not supported: brig sets no SELinux labels"
                )));
            }
            _ => return Err(Error::Invalid(format!("invalid --security-opt: \"{option}\""))),
        }
    }
    Ok(confinement)
}

#[cfg(test)]
mod tests;
