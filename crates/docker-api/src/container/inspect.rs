//! `GET /containers/{id}/json`, `…/top`, `…/wait`.

use std::collections::BTreeMap;

use super::{Config, HostConfig, MountPoint, PortMap};
use crate::Time;
use crate::image::{Descriptor, GraphDriver};
use crate::lenient::{is_zero, null_if_empty, wire};
use crate::network::EndpointSettings;

wire! {
    /// Everything about a container.
    pub struct Inspect {
        /// 64 hexadecimal digits.
        pub id: String,
        /// When it was made.
        pub created: Time,
        /// The program.
        pub path: String,
        /// Its arguments.
        pub args: Vec<String>,
        /// How it is.
        pub state: State,
        /// Id of the image.
        pub image: String,
        /// File on the host mounted over the resolver's configuration.
        pub resolv_conf_path: String,
        /// File on the host.
        pub hostname_path: String,
        /// File on the host.
        pub hosts_path: String,
        /// File on the host.
        pub log_path: String,
        /// Name with a leading slash.
        pub name: String,
        /// How often its policy restarted it.
        pub restart_count: i64,
        /// `overlay2`, as tools expect it.
        pub driver: String,
        /// `linux`.
        pub platform: String,
        /// What the image's manifest is.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_manifest_descriptor: Option<Descriptor>,
        /// For `SELinux`.
        pub mount_label: String,
        /// For `SELinux`.
        pub process_label: String,
        /// For `AppArmor`.
        pub app_armor_profile: String,
        /// Ids of execs that run.
        #[serde(rename = "ExecIDs", serialize_with = "null_if_empty")]
        pub exec_ids: Vec<String>,
        /// The part that belongs to this host.
        pub host_config: HostConfig,
        /// Where its root is.
        pub graph_driver: GraphDriver,
        /// Bytes written; only when sizes are asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all; only when sizes are asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// What is mounted.
        pub mounts: Vec<MountPoint>,
        /// The portable part.
        pub config: Config,
        /// Attachments to networks.
        pub network_settings: NetworkSettings,
    }

    /// How a container is.
    pub struct State {
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        pub status: String,
        /// Its process lives (also when paused).
        pub running: bool,
        /// Its processes are frozen.
        pub paused: bool,
        /// It waits to be started again.
        pub restarting: bool,
        /// It was killed for want of memory.
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        /// It could not be removed in full.
        pub dead: bool,
        /// In the host's pid namespace; 0 when it does not run.
        pub pid: i64,
        /// Of its last end.
        pub exit_code: i64,
        /// Why it could not be started.
        pub error: String,
        /// Its last start.
        pub started_at: Time,
        /// Its last end.
        pub finished_at: Time,
        /// Whether it works, when it is checked.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<Health>,
    }

    /// Whether a container works.
    pub struct Health {
        /// `starting`, `healthy`, `unhealthy`.
        pub status: String,
        /// Failures in a row.
        pub failing_streak: i64,
        /// The last checks.
        pub log: Vec<HealthLog>,
    }

    /// One check.
    pub struct HealthLog {
        /// When it began.
        pub start: Time,
        /// When it ended.
        pub end: Time,
        /// 0 is healthy.
        pub exit_code: i64,
        /// What it printed.
        pub output: String,
    }

    /// A container's attachments to networks. The addresses at the top are those on the default
    /// bridge; API 1.52 drops them.
    pub struct NetworkSettings {
        /// Unused.
        pub bridge: String,
        /// Id of its network namespace.
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        /// Path of its network namespace.
        pub sandbox_key: String,
        /// Exposed and published ports.
        pub ports: PortMap,
        /// Unused.
        pub hairpin_mode: bool,
        /// Unused.
        #[serde(rename = "LinkLocalIPv6Address")]
        pub link_local_ipv6_address: String,
        /// Unused.
        #[serde(rename = "LinkLocalIPv6PrefixLen")]
        pub link_local_ipv6_prefix_len: u8,
        /// Unused.
        #[serde(rename = "SecondaryIPAddresses", serialize_with = "null_if_empty")]
        pub secondary_ip_addresses: Vec<String>,
        /// Unused.
        #[serde(rename = "SecondaryIPv6Addresses", serialize_with = "null_if_empty")]
        pub secondary_ipv6_addresses: Vec<String>,
        /// Id of the attachment.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// The IPv4 router.
        pub gateway: String,
        /// The IPv6 address.
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        /// Its prefix length.
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        /// The IPv4 address.
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        /// Its prefix length.
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        /// The IPv6 router.
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        /// Hardware address.
        pub mac_address: String,
        /// Attachments by the network's name.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// `GET /containers/{id}/top`.
    pub struct Top {
        /// One row for each process.
        pub processes: Vec<Vec<String>>,
        /// Names of the columns.
        pub titles: Vec<String>,
    }

    /// `POST /containers/{id}/wait`.
    pub struct WaitResponse {
        /// The exit status.
        pub status_code: i64,
        /// Why waiting failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
    }

    /// Why waiting failed.
    pub struct WaitError {
        /// The text.
        #[serde(skip_serializing_if = "is_zero")]
        pub message: String,
    }
}
