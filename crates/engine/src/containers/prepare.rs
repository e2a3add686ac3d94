//! From a record to a launch: everything that is looked up on the host before a start.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linux::path::Root;
use network::{ConnectRequest, Endpoint, EndpointRecord};
use stdx::ErrorKind;

use crate::container::record::Record;
use crate::container::user::{self, Identity};
use crate::container::{
    ContainerSpec, DeviceMapping, NamespaceMode, NetworkMode, Protocol, PublishSpec, etc, validate,
};
use crate::error::{Error, Result};
use crate::rooms::{self, Accounts, Rooms};
use crate::spec::devices::check_permissions;
use crate::spec::{self, HostDevice, Inputs, NamespaceSource, Namespaces, SeccompChoice};

/// The longest `passwd` or `group` read, in bytes.
const ACCOUNTS: u64 = 4 << 20;

/// Another container that one joins.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    pub(super) id: String,
    pub(super) pid: u32,
    pub(super) hostname: String,
}

/// The containers that one joins.
#[derive(Debug, Clone, Default)]
pub(super) struct Others {
    pub(super) network: Option<Joined>,
    pub(super) pid: Option<Joined>,
}

/// A container's place on the network, with the descriptors that come with it.
#[derive(Debug, Default)]
pub(super) struct Attachment {
    pub(super) namespace: Option<OwnedFd>,
    pub(super) endpoint: Option<EndpointRecord>,
    pub(super) held: Vec<OwnedFd>,
    pub(super) splice: Vec<network::SpliceListener>,
}

/// Attaches a container to its network.
///
/// # Errors
/// `Conflict` for ports and addresses in use; `NoSuchNetwork`.
pub(super) fn attach(rooms: &Rooms, record: &Record, others: &Others) -> Result<Attachment> {
    let options = &record.spec.host.network;
    match &options.mode {
        NetworkMode::Host => Ok(Attachment::default()),
        NetworkMode::None => {
            let namespace = rooms.networks.loopback_only().map_err(|error| {
                rooms::network("make a network namespace for", &record.name, error)
            })?;
            Ok(Attachment { namespace: Some(namespace), ..Attachment::default() })
        }
        NetworkMode::Container(_) => {
            let Some(other) = &others.network else {
                return Err(Error::Conflict(
                    "cannot join network of a container that is not running".into(),
                ));
            };
            let path = format!("/proc/{}/ns/net", other.pid);
            let namespace =
                fs::File::open(&path).map_err(|error| Error::io("join", path, error))?;
            Ok(Attachment { namespace: Some(namespace.into()), ..Attachment::default() })
        }
        NetworkMode::Default | NetworkMode::Bridge => connect(rooms, record, "bridge"),
        NetworkMode::Named(name) => connect(rooms, record, name),
    }
}

fn connect(rooms: &Rooms, record: &Record, network: &str) -> Result<Attachment> {
    let options = &record.spec.host.network;
    let mac = options
        .mac_address
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|error: network::ParseMacError| Error::Invalid(error.to_string()))?;
    let request = ConnectRequest {
        container: record.id.clone(),
        name: record.name.clone(),
        hostname: record.spec.hostname.clone().filter(|name| !name.is_empty()),
        network: network.to_owned(),
        aliases: options.aliases.clone(),
        ports: published(&record.spec),
        mac,
        ipv4: options.ipv4,
        ipv6: options.ipv6,
        name_servers: options.dns.clone(),
    };
    let endpoint = rooms.networks.connect(&request).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NoSuchNetwork(network.to_owned()),
        _ => rooms::network("set up the network of", &record.name, error),
    })?;
    let Endpoint { record, namespace, held, splice } = endpoint;
    Ok(Attachment { namespace: Some(namespace), endpoint: Some(record), held, splice })
}

fn published(spec: &ContainerSpec) -> Vec<network::PublishedPort> {
    let options = &spec.host.network;
    let mut ports: Vec<network::PublishedPort> = options.published.iter().map(publish).collect();
    if options.publish_all {
        let by_hand = |port| options.published.iter().any(|publish| publish.port == port);
        ports.extend(
            spec.exposed_ports
                .iter()
                .filter(|port| !by_hand(**port))
                .map(|port| publish(&PublishSpec { port: *port, host_ip: None, host_ports: None })),
        );
    }
    ports
}

fn publish(spec: &PublishSpec) -> network::PublishedPort {
    let protocol = match spec.port.protocol {
        Protocol::Tcp => network::Protocol::Tcp,
        Protocol::Udp => network::Protocol::Udp,
        Protocol::Sctp => network::Protocol::Sctp,
    };
    // The unspecified IPv4 address is Docker's word for "every address".
    let host_address = spec.host_ip.filter(|address| *address != IpAddr::from([0, 0, 0, 0]));
    let host_ports = spec.host_ports.map_or(network::PortRange::ANY, |range| network::PortRange {
        start: range.first,
        end: range.last,
    });
    network::PublishedPort { protocol, host_address, host_ports, container_port: spec.port.number }
}

/// Writes the container's files for `/etc`; gives them with their places inside.
///
/// # Errors
/// When the run directory cannot be written.
pub(super) fn write_files(
    rooms: &Rooms,
    record: &Record,
    hostname: &str,
    endpoint: Option<&EndpointRecord>,
    others: &Others,
) -> Result<Vec<(PathBuf, &'static str)>> {
    let layout = rooms.store.layout();
    let places = |directory: PathBuf| {
        ["hosts", "hostname", "resolv.conf"]
            .into_iter()
            .zip(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"])
            .map(|(file, target)| (directory.join(file), target))
            .collect::<Vec<_>>()
    };
    let directory = layout.container_run_dir(&record.id);
    fs::create_dir_all(&directory)
        .map_err(|error| Error::io("create", directory.display().to_string(), error))?;
    if let Some(other) = &others.network {
        return Ok(places(layout.container_run_dir(&other.id)));
    }
    let options = &record.spec.host.network;
    let host_resolv_conf = || fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let names =
        etc::Names { hostname, domain: record.spec.domainname.as_deref().unwrap_or_default() };
    let (hosts, resolv_conf) = match endpoint {
        Some(endpoint) => {
            let mut addresses = vec![IpAddr::V4(endpoint.ipv4.addr())];
            addresses.extend(endpoint.ipv6.map(|net| IpAddr::V6(net.addr())));
            let gateway = IpAddr::V4(endpoint.gateway.ipv4);
            let hosts = etc::hosts(names, &addresses, Some(gateway), &options.extra_hosts)?;
            let service = rooms.networks.has_names().then_some(gateway);
            (hosts, etc::resolv_conf(&host_resolv_conf(), options, service.as_slice()))
        }
        None => {
            let hosts = if options.mode == NetworkMode::Host {
                let host = fs::read_to_string("/etc/hosts").unwrap_or_default();
                etc::hosts_of_host(&host, &options.extra_hosts)?
            } else {
                etc::hosts(names, &[], None, &options.extra_hosts)?
            };
            (hosts, etc::resolv_conf(&host_resolv_conf(), options, &[]))
        }
    };
    let files = places(directory);
    for ((path, _), text) in files.iter().zip([hosts, format!("{hostname}\n"), resolv_conf]) {
        write_public(path, &text)?;
    }
    Ok(files)
}

fn write_public(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)))
        .map_err(|error| Error::io("write", path.display().to_string(), error))
}

/// Who the container's process runs as. The accounts of an image are read once; those of a
/// container that has run before (and may have changed them) each time.
///
/// # Errors
/// `Invalid` when a name is unknown.
pub(super) fn identity(rooms: &Rooms, record: &Record) -> Result<Identity> {
    let known = if record.was_started { None } else { rooms.known_accounts(&record.image_id) };
    let accounts = match known {
        Some(accounts) => accounts,
        None => {
            let root =
                rooms.store.snapshots().view(&record.id).map_err(|error| {
                    rooms::storage("look into the files of", &record.name, error)
                })?;
            let accounts = Arc::new(read_accounts(&Root::from_fd(root)));
            if !record.was_started {
                rooms.keep_accounts(&record.image_id, &accounts);
            }
            accounts
        }
    };
    let specification = record.spec.user.as_deref().unwrap_or_default();
    identity_of(specification, &record.spec, &accounts)
}

/// Who somebody is by these accounts, with the container's further groups.
///
/// # Errors
/// `Invalid` when a name is unknown.
pub(super) fn identity_of(
    specification: &str,
    spec: &ContainerSpec,
    accounts: &Accounts,
) -> Result<Identity> {
    let mut identity = user::resolve(specification, &accounts.passwd, &accounts.group)?;
    identity.groups.extend(user::resolve_groups(&spec.host.group_add, &accounts.group)?);
    Ok(identity)
}

/// Reads the accounts in a root; what is missing or unreasonable is empty.
pub(super) fn read_accounts(root: &Root) -> Accounts {
    let read = |path: &str| {
        let bytes = root.read(Path::new(path), ACCOUNTS).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Accounts { passwd: read("etc/passwd"), group: read("etc/group") }
}

/// What the runtime is told.
///
/// # Errors
/// `Invalid` and `Unsupported` options.
pub(super) fn specification(
    rooms: &Rooms,
    record: &Record,
    hostname: &str,
    files: &[(PathBuf, &'static str)],
    others: &Others,
) -> Result<oci::runtime::Spec> {
    let identity = identity(rooms, record)?;
    generate(
        rooms,
        &record.spec,
        &Generation {
            id: &record.id,
            hostname,
            identity: &identity,
            mounts: &record.mounts,
            files,
            others,
        },
    )
}

/// Refuses at creation what could only fail at the start.
///
/// # Errors
/// `Invalid` and `Unsupported` options.
pub(super) fn dry_run(rooms: &Rooms, spec: &ContainerSpec) -> Result<()> {
    let confinement = spec::confinement(&spec.host.security)?;
    if let Some(profile) = &confinement.apparmor
        && !rooms.machine.apparmor
    {
        return Err(Error::Unsupported(format!(
            "AppArmor profile '{profile}' cannot be used: this kernel has no AppArmor"
        )));
    }
    if matches!(spec.host.ipc_mode, NamespaceMode::Container(_)) {
        return Err(Error::Unsupported(
            "ipc mode container:NAME is not supported: /dev/shm of another container cannot be \
             shared yet"
                .to_owned(),
        ));
    }
    check_sysctls(spec)?;
    let generation = Generation {
        id: "",
        hostname: "",
        identity: &Identity::default(),
        mounts: &[],
        files: &[],
        others: &Others {
            pid: Some(Joined { id: String::new(), pid: 1, hostname: String::new() }),
            network: None,
        },
    };
    generate(rooms, spec, &generation).map(drop)
}

/// Only parameters of the container's own namespaces may be set.
fn check_sysctls(spec: &ContainerSpec) -> Result<()> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for name in spec.host.sysctls.keys() {
        let of_ipc = IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.");
        let own_ipc = spec.host.ipc_mode != NamespaceMode::Host;
        let own_network =
            !matches!(spec.host.network.mode, NetworkMode::Host | NetworkMode::Container(_));
        let allowed = (of_ipc && own_ipc)
            || (name.starts_with("net.") && own_network)
            || (name == "kernel.domainname" && spec.host.uts_mode != NamespaceMode::Host);
        if !allowed {
            return Err(Error::Invalid(format!(
                "sysctl '{name}' is not allowed: it is not of a namespace of the container's own"
            )));
        }
    }
    Ok(())
}

struct Generation<'a> {
    id: &'a str,
    hostname: &'a str,
    identity: &'a Identity,
    mounts: &'a [crate::container::record::PlannedMount],
    files: &'a [(PathBuf, &'static str)],
    others: &'a Others,
}

fn generate(
    rooms: &Rooms,
    spec: &ContainerSpec,
    generation: &Generation<'_>,
) -> Result<oci::runtime::Spec> {
    let wants_init = spec.host.init == Some(true);
    let init = wants_init.then(|| rooms.init_program()).transpose()?;
    let confinement = spec::confinement(&spec.host.security)?;
    let capabilities = spec::capabilities(&spec.host.security, &rooms.available)?;
    spec::generate(&Inputs {
        id: generation.id,
        cgroup_parent: &rooms.cgroup_parent,
        spec,
        hostname: generation.hostname,
        identity: generation.identity,
        mounts: generation.mounts,
        files: generation.files,
        init: init.as_deref().and_then(Path::to_str),
        namespaces: &namespaces(spec, generation.others)?,
        devices: &devices(spec)?,
        block_devices: &block_devices(spec),
        masked_paths: &rooms.masked_paths,
        available: &rooms.available,
        seccomp: seccomp(rooms, &confinement.seccomp, &capabilities)?,
    })
}

/// The filter of system calls.
fn seccomp(
    rooms: &Rooms,
    choice: &SeccompChoice,
    capabilities: &[String],
) -> Result<Option<oci::runtime::Seccomp>> {
    let host = oci::Platform::host();
    let situation = policy::seccomp::Situation {
        capabilities,
        architecture: &host.architecture,
        kernel: rooms.kernel,
    };
    match choice {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Default => Ok(Some(policy::seccomp::default_seccomp(&situation))),
        SeccompChoice::Profile(text) => policy::seccomp::seccomp_from_profile(text, &situation)
            .map_err(|error| Error::failed("use", "the seccomp profile", error.kind(), error)),
    }
}

fn namespaces(spec: &ContainerSpec, others: &Others) -> Result<Namespaces> {
    let host = &spec.host;
    let simple = |mode: &NamespaceMode| {
        if *mode == NamespaceMode::Host { NamespaceSource::Host } else { NamespaceSource::New }
    };
    let pid = match (&host.pid_mode, &others.pid) {
        (NamespaceMode::Container(_), Some(other)) => {
            NamespaceSource::Path(format!("/proc/{}/ns/pid", other.pid))
        }
        (NamespaceMode::Container(name), None) => {
            return Err(Error::Conflict(format!(
                "cannot join PID namespace of a non running container: {name}"
            )));
        }
        (mode, _) => simple(mode),
    };
    let network = match host.network.mode {
        NetworkMode::Host => NamespaceSource::Host,
        _ => NamespaceSource::New,
    };
    let ipc = simple(&host.ipc_mode);
    let uts = simple(&host.uts_mode);
    let cgroup = simple(&host.cgroup_mode);
    Ok(Namespaces { pid, network, ipc, uts, cgroup })
}

/// The numbers of block devices that rates and weights name.
fn block_devices(spec: &ContainerSpec) -> BTreeMap<String, (u32, u32)> {
    let resources = &spec.host.resources;
    let rates = [
        &resources.read_bytes,
        &resources.write_bytes,
        &resources.read_operations,
        &resources.write_operations,
    ];
    let paths = rates.into_iter().flatten().map(|device| &device.path);
    let paths = paths.chain(resources.blkio_weight_devices.iter().map(|device| &device.path));
    paths
        .filter_map(|path| {
            let metadata = fs::metadata(path).ok().filter(|m| m.file_type().is_block_device())?;
            Some((path.clone(), numbers(metadata.rdev())))
        })
        .collect()
}

/// Major and minor number of a device, as the kernel packs them for user space.
fn numbers(device: u64) -> (u32, u32) {
    let part = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX);
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    (part(major), part(minor))
}

fn devices(spec: &ContainerSpec) -> Result<Vec<HostDevice>> {
    let mut found = Vec::new();
    if spec.host.security.privileged {
        walk(Path::new("/dev"), "/dev", "rwm", &mut found);
    }
    for mapping in &spec.host.resources.devices {
        let before = found.len();
        add_mapping(mapping, &mut found)?;
        if found.len() == before {
            return Err(Error::Invalid(format!(
                "error gathering device information while adding custom device \"{}\": not a \
                 device node",
                mapping.host
            )));
        }
    }
    Ok(found)
}

fn add_mapping(mapping: &DeviceMapping, found: &mut Vec<HostDevice>) -> Result<()> {
    let permissions = Some(mapping.permissions.as_str()).filter(|text| !text.is_empty());
    let permissions = permissions.unwrap_or("rwm");
    if check_permissions(permissions).is_none() {
        return Err(Error::Invalid(format!("invalid device mode: {permissions}")));
    }
    let target = if mapping.container.is_empty() { &mapping.host } else { &mapping.container };
    if !target.starts_with('/') {
        return Err(Error::Invalid(format!("{target} is not an absolute path")));
    }
    let path = Path::new(&mapping.host);
    let metadata = fs::metadata(path).map_err(|_missing| {
        Error::Invalid(format!(
            "error gathering device information while adding custom device \"{}\": no such file \
             or directory",
            mapping.host
        ))
    })?;
    if metadata.is_dir() {
        walk(path, target, permissions, found);
    } else {
        found.extend(device(&metadata, target, permissions));
    }
    Ok(())
}

fn device(metadata: &fs::Metadata, target: &str, permissions: &str) -> Option<HostDevice> {
    let kind = kind_of(metadata.file_type())?;
    let (major, minor) = numbers(metadata.rdev());
    Some(HostDevice {
        path: target.to_owned(),
        kind,
        major,
        minor,
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        permissions: permissions.to_owned(),
    })
}

fn kind_of(file_type: FileType) -> Option<char> {
    if file_type.is_char_device() {
        return Some('c');
    }
    file_type.is_block_device().then_some('b')
}

/// All devices below a directory, links not followed; the container's own terminals, shared memory
/// and queues are left out.
fn walk(directory: &Path, target: &str, permissions: &str, found: &mut Vec<HostDevice>) {
    const OWN: &[&str] = &["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", "console"];
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(metadata) = entry.metadata() else { continue };
        if directory == Path::new("/dev") && OWN.contains(&name.as_str()) {
            continue;
        }
        let inside = format!("{}/{name}", target.trim_end_matches('/'));
        if metadata.is_dir() {
            walk(&entry.path(), &inside, permissions, found);
        } else {
            found.extend(device(&metadata, &inside, permissions));
        }
    }
}

/// The descriptors of a launch with what each is for.
pub(super) fn roles(attachment: &Attachment) -> Vec<(monitor::protocol::FdRole, BorrowedFd<'_>)> {
    use monitor::protocol::FdRole;
    let mut roles = Vec::new();
    roles.extend(attachment.namespace.as_ref().map(|fd| (FdRole::NetworkNamespace, fd.as_fd())));
    roles.extend(attachment.held.iter().map(|fd| (FdRole::HeldPort, fd.as_fd())));
    roles.extend(
        attachment.splice.iter().map(|splice| {
            (FdRole::SpliceListener { target: splice.target }, splice.listener.as_fd())
        }),
    );
    roles
}

/// What this machine is.
pub(crate) fn machine() -> validate::Machine {
    let exists = |path: &str| Path::new(path).exists();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    validate::Machine {
        processors: processors as u64,
        selinux: exists("/sys/fs/selinux/enforce"),
        apparmor: fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.trim() == "Y"),
    }
}
