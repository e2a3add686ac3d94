//! What callers see of a container.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use jiff::Timestamp;

use super::options::{ContainerSpec, MountKind, Port, Propagation};
use super::status::Status;

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The new container's id.
    pub id: String,
    /// What the caller should know; never an option silently ignored.
    pub warnings: Vec<String>,
}

/// A container's state with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateView {
    /// Where it is in its life.
    pub status: Status,
    /// The process id on the host; 0 when it does not run.
    pub pid: u32,
    /// The last exit status; 0 when it never ran.
    pub exit_code: i32,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    /// Whether the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSummary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name without slash.
    pub name: String,
    /// The image as typed.
    pub image: String,
    /// The image's id (`sha256:…`).
    pub image_id: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its state.
    pub state: StateView,
    /// Ports: published and merely exposed.
    pub ports: Vec<PortMapping>,
    /// Labels, the image's included.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The network mode's word.
    pub network_mode: String,
    /// Its networks.
    pub networks: Vec<NetworkAttachment>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// Bytes written by the container, when asked for.
    pub size_rw: Option<u64>,
    /// Bytes of the image and those, when asked for.
    pub size_root: Option<u64>,
}

/// Everything known of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerInspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name without slash.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its state.
    pub state: StateView,
    /// The image's id (`sha256:…`).
    pub image_id: String,
    /// `linux`.
    pub platform: String,
    /// The options, merged with the image's configuration.
    pub spec: ContainerSpec,
    /// How often the restart policy started it.
    pub restart_count: u32,
    /// Its log; absent with the driver `none`.
    pub log_path: Option<PathBuf>,
    /// The file shown as `/etc/resolv.conf`.
    pub resolv_conf_path: PathBuf,
    /// The file shown as `/etc/hostname`.
    pub hostname_path: PathBuf,
    /// The file shown as `/etc/hosts`.
    pub hosts_path: PathBuf,
    /// Masked paths in force.
    pub masked_paths: Vec<String>,
    /// Read-only paths in force.
    pub read_only_paths: Vec<String>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// Its networks.
    pub networks: Vec<NetworkAttachment>,
    /// The path of its network namespace (`/proc/PID/ns/net`); empty when it does not run.
    pub namespace_path: String,
    /// Ports: published and merely exposed.
    pub ports: Vec<PortMapping>,
    /// Execs that are known.
    pub exec_ids: Vec<String>,
    /// The directories of its overlay: `LowerDir`, `UpperDir`, `WorkDir`.
    pub overlay: BTreeMap<String, String>,
    /// Bytes written by the container, when asked for.
    pub size_rw: Option<u64>,
    /// Bytes of the image and those, when asked for.
    pub size_root: Option<u64>,
}

/// A mount that a container has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MountPoint {
    /// What is mounted.
    pub kind: MountKind,
    /// The volume's name; empty for others.
    pub name: String,
    /// Path on the host; empty for tmpfs.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// `local` for volumes; empty for others.
    pub driver: String,
    /// The options as typed (`ro,z`).
    pub mode: String,
    /// Whether it can be written.
    pub writable: bool,
    /// Its propagation.
    pub propagation: Option<Propagation>,
}

/// A port of a container, and where the host leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// The container's port.
    pub port: Port,
    /// The host's address and port; absent when merely exposed.
    pub host: Option<(IpAddr, u16)>,
}

/// A container's attachment to one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// The endpoint's id; empty while the container does not run.
    pub endpoint_id: String,
    /// IPv4 address and prefix length.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// IPv6 address and prefix length.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// IPv4 gateway.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 gateway.
    pub gateway6: Option<Ipv6Addr>,
    /// `02:42:…`; empty while the container does not run.
    pub mac_address: String,
    /// Other names on this network.
    pub aliases: Vec<String>,
    /// All names it is found by.
    pub dns_names: Vec<String>,
}
