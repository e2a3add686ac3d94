//! The options a container is made from, as the caller means them.
//!
//! Empty and `None` mean "not given": the image's configuration and then the defaults apply.
//! The engine keeps the options merged with the image's configuration; an inspection shows those.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::resources::Resources;

/// Everything that makes a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The wanted name (`[a-zA-Z0-9][a-zA-Z0-9_.-]+`, a leading slash is dropped); generated when
    /// absent.
    pub name: Option<String>,
    /// The image: reference, id or unique id prefix, as typed.
    pub image: String,
    /// The wanted platform (`os/architecture[/variant]`); the image found must be of it.
    pub platform: Option<String>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Replaces the image's entry point and clears its command. An empty list clears the entry
    /// point only; one empty word clears both.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value` sets, a bare `NAME` unsets a variable of the image.
    pub environment: Vec<String>,
    /// Absolute path in the container.
    pub working_directory: Option<String>,
    /// `user[:group]`, each a name or a number.
    pub user: Option<String>,
    /// The host name; the short id when absent.
    pub hostname: Option<String>,
    /// The NIS domain name.
    pub domainname: Option<String>,
    /// Labels, which win over the image's.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether the process gets a terminal.
    pub terminal: bool,
    /// What the process reads from.
    pub stdin: Stdin,
    /// Which streams the creator meant to attach to; kept for inspection only.
    pub attached: AttachedStreams,
    /// Ports that the container listens on, besides the image's.
    pub exposed_ports: BTreeSet<Port>,
    /// Paths in the container that get an anonymous volume, besides the image's.
    pub volumes: BTreeSet<String>,
    /// The signal that asks the process to end (`TERM`, `SIGTERM` or a number).
    pub stop_signal: Option<String>,
    /// Seconds between that signal and the kill; negative waits for ever; 10 when absent.
    pub stop_timeout: Option<i64>,
    /// What the container gets from and may do to its host.
    pub host: HostOptions,
}

/// What a process reads from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// The null device.
    #[default]
    Closed,
    /// A pipe or terminal which clients attach to.
    Open {
        /// Whether it ends when the first client that was attached leaves.
        once: bool,
    },
}

/// The streams a client attaches to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedStreams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// What a container gets from and may do to its host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostOptions {
    /// Removed, with its anonymous volumes, once its process has ended; never written durably.
    pub auto_remove: bool,
    /// What happens when the process ends.
    pub restart: RestartPolicy,
    /// Networks, names and ports.
    pub network: NetworkOptions,
    /// Rights and confinement.
    pub security: SecurityOptions,
    /// Limits and devices.
    pub resources: Resources,
    /// `source:target[:options]`, where the source is a host path (absolute) or a volume's name.
    pub binds: Vec<String>,
    /// Mounts in long form.
    pub mounts: Vec<MountSpec>,
    /// Path in the container → tmpfs options (`size=64m,mode=1777,…`).
    pub tmpfs: BTreeMap<String, String>,
    /// Containers (`name[:ro|rw]`) whose volumes and binds are mounted here too.
    pub volumes_from: Vec<String>,
    /// Size of `/dev/shm` in bytes; 64 MiB when absent.
    pub shm_size: Option<u64>,
    /// Where the process's output is kept.
    pub log: LogConfig,
    /// Whether our tiny init is PID 1.
    pub init: Option<bool>,
    /// `private` (default), `host` or `container:NAME`.
    pub pid_mode: NamespaceMode,
    /// `private` (default), `shareable`, `host` or `container:NAME`.
    pub ipc_mode: NamespaceMode,
    /// `private` (default) or `host`.
    pub uts_mode: NamespaceMode,
    /// `private` (default) or `host`.
    pub cgroup_mode: NamespaceMode,
    /// Only the host's for now: others are refused.
    pub user_mode: NamespaceMode,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// −1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Additional groups, by name or number.
    pub group_add: Vec<String>,
    /// A cgroup to be made in, instead of the instance's own; absolute.
    pub cgroup_parent: Option<String>,
    /// The terminal's size at start.
    pub console_size: Option<super::TerminalSize>,
}

/// How a container is reached and reaches others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// Which network.
    pub mode: NetworkMode,
    /// Other names of the container on that network.
    pub aliases: Vec<String>,
    /// Ports of the host which lead to the container.
    pub published: Vec<PublishSpec>,
    /// Whether every exposed port is published on a free port.
    pub publish_all: bool,
    /// A fixed IPv4 address.
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<std::net::Ipv6Addr>,
    /// `02:42:…`.
    pub mac_address: Option<String>,
    /// Name servers instead of the network's own.
    pub dns: Vec<IpAddr>,
    /// Domains searched for short names.
    pub dns_search: Vec<String>,
    /// `resolv.conf` options.
    pub dns_options: Vec<String>,
    /// `name:address` lines for `/etc/hosts`; the address may be `host-gateway`.
    pub extra_hosts: Vec<String>,
}

/// The network a container is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The default bridge.
    #[default]
    Default,
    /// The default bridge, by its name.
    Bridge,
    /// The host's own network namespace.
    Host,
    /// Loopback only.
    None,
    /// The namespace of this other container (id, name or prefix).
    Container(String),
    /// A network of this name or id.
    Named(String),
}

impl NetworkMode {
    /// Reads `default`, `bridge`, `host`, `none`, `container:X` or a network's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "default" => Self::Default,
            "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(name) => Self::Container(name.to_owned()),
                None => Self::Named(text.to_owned()),
            },
        }
    }
}

impl std::fmt::Display for NetworkMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Bridge => formatter.write_str("bridge"),
            Self::Host => formatter.write_str("host"),
            Self::None => formatter.write_str("none"),
            Self::Container(name) => write!(formatter, "container:{name}"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A port of a container: `80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Port {
    /// Reads `80` or `80/tcp`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok().filter(|number| *number != 0)?;
        Some(Self { number, protocol })
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.number, self.protocol.as_str())
    }
}

/// Ports of the host to choose from, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// One port of the container made reachable through the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishSpec {
    /// The container's port.
    pub port: Port,
    /// The host's address; every one of them when absent.
    pub host_ip: Option<IpAddr>,
    /// The first free of these ports; any free port when absent.
    pub host_ports: Option<PortRange>,
}

/// Rights and confinement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityOptions {
    /// All capabilities, all devices, no masks, no seccomp.
    pub privileged: bool,
    /// Capabilities added (`NET_ADMIN`, `CAP_NET_ADMIN`, `ALL`).
    pub capabilities_add: Vec<String>,
    /// Capabilities dropped; `ALL` first drops every one.
    pub capabilities_drop: Vec<String>,
    /// `seccomp=unconfined|builtin|<JSON text>`, `no-new-privileges[=true|false]`,
    /// `apparmor=…`, `label=…`, `systempaths=unconfined`.
    pub options: Vec<String>,
    /// Whether the root file system is read-only.
    pub read_only_root: bool,
    /// Replaces the masked paths; empty masks nothing.
    pub masked_paths: Option<Vec<String>>,
    /// Replaces the read-only paths; empty makes none read-only.
    pub read_only_paths: Option<Vec<String>>,
}

/// A mount in long form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountSpec {
    /// What is mounted.
    pub kind: MountKind,
    /// The host's path (bind) or the volume's name (volume; anonymous when empty).
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Propagation of a bind; `rprivate` when absent.
    pub propagation: Option<Propagation>,
    /// Binds only: whether mounts below the source are left out.
    pub non_recursive: bool,
    /// Binds only: whether a missing source directory is made.
    pub create_source: bool,
    /// Volumes only: whether the image's files at the target are not copied in.
    pub no_copy: bool,
    /// Volumes only: a directory inside the volume.
    pub subpath: Option<String>,
    /// Volumes only: labels of a volume made for this mount.
    pub volume_labels: BTreeMap<String, String>,
    /// Volumes only: the driver; only `local` exists.
    pub volume_driver: Option<String>,
    /// Volumes only: driver options of a volume made for this mount.
    pub volume_options: BTreeMap<String, String>,
    /// tmpfs only: size in bytes.
    pub tmpfs_size: Option<u64>,
    /// tmpfs only: permission bits.
    pub tmpfs_mode: Option<u32>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A path of the host.
    #[default]
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
}

/// How mounts made later on one side appear on the other (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Not at all, recursively.
    #[default]
    Rprivate,
    /// Not at all.
    Private,
    /// Both ways, recursively.
    Rshared,
    /// Both ways.
    Shared,
    /// From the host into the container, recursively.
    Rslave,
    /// From the host into the container.
    Slave,
}

impl Propagation {
    /// The word as `mount(8)` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rprivate => "rprivate",
            Self::Private => "private",
            Self::Rshared => "rshared",
            Self::Shared => "shared",
            Self::Rslave => "rslave",
            Self::Slave => "slave",
        }
    }

    /// The propagation of this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Rprivate, Self::Private, Self::Rshared, Self::Shared, Self::Rslave, Self::Slave]
            .into_iter()
            .find(|propagation| propagation.as_str() == word)
    }
}

/// Where a container's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `json-file` (also when empty) or `none`; others are refused.
    pub driver: String,
    /// `max-size`, `max-file`, `compress`; others are refused.
    pub options: BTreeMap<String, String>,
}

/// Whose namespace of one kind a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// Not given: its own.
    #[default]
    Default,
    /// Its own.
    Private,
    /// Its own, which others may join (IPC).
    Shareable,
    /// The host's.
    Host,
    /// That of another container.
    Container(String),
    /// A word that no mode has; refused with the word in the message.
    Unknown(String),
}

impl NamespaceMode {
    /// Reads an empty text, `private`, `shareable`, `host` or `container:X`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" => Self::Default,
            "private" => Self::Private,
            "shareable" => Self::Shareable,
            "host" => Self::Host,
            _ => match text.strip_prefix("container:") {
                Some(name) => Self::Container(name.to_owned()),
                None => Self::Unknown(text.to_owned()),
            },
        }
    }
}

impl std::fmt::Display for NamespaceMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => formatter.write_str("private"),
            Self::Shareable => formatter.write_str("shareable"),
            Self::Host => formatter.write_str("host"),
            Self::Container(name) => write!(formatter, "container:{name}"),
            Self::Unknown(text) => formatter.write_str(text),
        }
    }
}

/// What happens when a container's process ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// It stays ended.
    #[default]
    No,
    /// It is started again after a status other than zero.
    OnFailure {
        /// At most this many times in a row; 0 is without limit.
        maximum: u32,
    },
    /// It is started again, and also when the daemon starts.
    Always,
    /// As `Always`, except that one stopped by hand stays so when the daemon starts.
    UnlessStopped,
}
