//! How it is run: the part of a container's configuration that belongs to this host.

use std::collections::BTreeMap;

use crate::lenient::{is_zero, null_if_empty, wire};

/// `80/tcp` → addresses on the host.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

wire! {
    /// The part of a container's configuration that belongs to this host.
    pub struct HostConfig {
        /// `source:target[:options]`.
        #[serde(serialize_with = "null_if_empty")]
        pub binds: Vec<String>,
        /// File the client wrote the id to.
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        /// Where output is logged.
        pub log_config: LogConfig,
        /// `default`, `bridge`, `host`, `none`, `container:…` or a network's name.
        pub network_mode: String,
        /// Published ports.
        pub port_bindings: PortMap,
        /// What happens when it ends.
        pub restart_policy: RestartPolicy,
        /// Remove it when it ends.
        pub auto_remove: bool,
        /// Driver of anonymous volumes.
        pub volume_driver: String,
        /// Containers whose volumes are mounted too.
        #[serde(serialize_with = "null_if_empty")]
        pub volumes_from: Vec<String>,
        /// Height and width of the terminal.
        pub console_size: [u32; 2],
        /// Annotations for the OCI runtime.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: BTreeMap<String, String>,
        /// Capabilities added.
        #[serde(serialize_with = "null_if_empty")]
        pub cap_add: Vec<String>,
        /// Capabilities dropped.
        #[serde(serialize_with = "null_if_empty")]
        pub cap_drop: Vec<String>,
        /// `private`, `host` or empty.
        pub cgroupns_mode: String,
        /// Name servers.
        pub dns: Vec<String>,
        /// Options of the resolver.
        pub dns_options: Vec<String>,
        /// Search domains.
        pub dns_search: Vec<String>,
        /// `name:address` for `/etc/hosts`.
        #[serde(serialize_with = "null_if_empty")]
        pub extra_hosts: Vec<String>,
        /// Supplementary groups.
        #[serde(serialize_with = "null_if_empty")]
        pub group_add: Vec<String>,
        /// `private`, `shareable`, `host`, `container:…`, `none`.
        pub ipc_mode: String,
        /// Unused.
        pub cgroup: String,
        /// `name:alias` (legacy).
        #[serde(serialize_with = "null_if_empty")]
        pub links: Vec<String>,
        /// -1000 to 1000.
        pub oom_score_adj: i64,
        /// `host`, `container:…` or empty.
        pub pid_mode: String,
        /// All capabilities and devices, no profiles.
        pub privileged: bool,
        /// Publish every exposed port.
        pub publish_all_ports: bool,
        /// The root file system is read-only.
        pub readonly_rootfs: bool,
        /// `seccomp=…`, `apparmor=…`, `label=…`, `no-new-privileges`.
        #[serde(serialize_with = "null_if_empty")]
        pub security_opt: Vec<String>,
        /// Options of the storage driver.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub storage_opt: BTreeMap<String, String>,
        /// Target → mount options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub tmpfs: BTreeMap<String, String>,
        /// `host` or empty.
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        /// `host` or empty.
        pub userns_mode: String,
        /// Bytes of `/dev/shm`; 0 is 64 MiB.
        pub shm_size: i64,
        /// Kernel parameters of its namespaces.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub sysctls: BTreeMap<String, String>,
        /// Name of the runtime.
        #[serde(skip_serializing_if = "is_zero")]
        pub runtime: String,
        /// For Windows.
        pub isolation: String,
        /// Relative weight, 1024 is the default.
        pub cpu_shares: i64,
        /// Bytes; 0 is no limit.
        pub memory: i64,
        /// Thousand-millionths of a processor; 0 is no limit.
        pub nano_cpus: i64,
        /// Parent cgroup.
        pub cgroup_parent: String,
        /// 10 to 1000, 0 is the default.
        pub blkio_weight: u16,
        /// Weights by device.
        pub blkio_weight_device: Vec<WeightDevice>,
        /// Bytes a second by device.
        pub blkio_device_read_bps: Vec<ThrottleDevice>,
        /// Bytes a second by device.
        pub blkio_device_write_bps: Vec<ThrottleDevice>,
        /// Operations a second by device.
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Vec<ThrottleDevice>,
        /// Operations a second by device.
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Vec<ThrottleDevice>,
        /// Microseconds.
        pub cpu_period: i64,
        /// Microseconds in each period.
        pub cpu_quota: i64,
        /// Microseconds.
        pub cpu_realtime_period: i64,
        /// Microseconds.
        pub cpu_realtime_runtime: i64,
        /// `0-2,4`.
        pub cpuset_cpus: String,
        /// `0-2,4`.
        pub cpuset_mems: String,
        /// Devices.
        pub devices: Vec<DeviceMapping>,
        /// `c 1:3 rwm`.
        #[serde(serialize_with = "null_if_empty")]
        pub device_cgroup_rules: Vec<String>,
        /// Devices by driver and capability (GPU, CDI).
        #[serde(serialize_with = "null_if_empty")]
        pub device_requests: Vec<DeviceRequest>,
        /// Bytes (removed from the kernel).
        #[serde(skip_serializing_if = "is_zero")]
        pub kernel_memory: i64,
        /// Bytes (removed from the kernel).
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_zero")]
        pub kernel_memory_tcp: i64,
        /// Bytes kept for it when memory is short.
        pub memory_reservation: i64,
        /// Bytes of memory and swap together; -1 is no limit of swap.
        pub memory_swap: i64,
        /// 0 to 100.
        pub memory_swappiness: Option<i64>,
        /// Never killed for memory.
        pub oom_kill_disable: Option<bool>,
        /// Processes; 0, -1 or absent is no limit.
        pub pids_limit: Option<i64>,
        /// Resource limits.
        pub ulimits: Vec<Ulimit>,
        /// For Windows.
        pub cpu_count: i64,
        /// For Windows.
        pub cpu_percent: i64,
        /// For Windows.
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        /// For Windows.
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
        /// Mounts in the long form.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub mounts: Vec<Mount>,
        /// Hidden paths; the default list when absent.
        pub masked_paths: Option<Vec<String>>,
        /// Read-only paths; the default list when absent.
        pub readonly_paths: Option<Vec<String>>,
        /// A small init as process 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
    }

    /// Where output is logged.
    pub struct LogConfig {
        /// `json-file`, `none`, …; the default when empty.
        #[serde(rename = "Type")]
        pub kind: String,
        /// `max-size`, `max-file`, …
        pub config: BTreeMap<String, String>,
    }

    /// What happens when a container ends.
    pub struct RestartPolicy {
        /// `no`, `always`, `unless-stopped`, `on-failure`; empty is `no`.
        pub name: String,
        /// For `on-failure`; 0 is for ever.
        pub maximum_retry_count: i64,
    }

    /// An address on the host.
    #[derive(Eq)]
    pub struct PortBinding {
        /// Empty is every address.
        pub host_ip: String,
        /// A port, a range `first-last`, or empty for any free one.
        pub host_port: String,
    }

    /// A device of the host.
    #[derive(Eq)]
    pub struct DeviceMapping {
        /// Path on the host.
        pub path_on_host: String,
        /// Path in the container.
        pub path_in_container: String,
        /// Some of `rwm`.
        pub cgroup_permissions: String,
    }

    /// Devices by driver and capability.
    #[derive(Eq)]
    pub struct DeviceRequest {
        /// `nvidia`, `cdi`, …
        pub driver: String,
        /// -1 is all.
        pub count: i64,
        /// Devices by the driver's id.
        #[serde(rename = "DeviceIDs")]
        pub device_ids: Vec<String>,
        /// One of the lists must hold in full.
        pub capabilities: Vec<Vec<String>>,
        /// For the driver.
        pub options: BTreeMap<String, String>,
    }

    /// A resource limit.
    #[derive(Eq)]
    pub struct Ulimit {
        /// `nofile`, …
        pub name: String,
        /// Ceiling; -1 is none.
        pub hard: i64,
        /// In force; -1 is none.
        pub soft: i64,
    }

    /// A weight by device.
    #[derive(Eq)]
    pub struct WeightDevice {
        /// Path of the device.
        pub path: String,
        /// 10 to 1000.
        pub weight: u16,
    }

    /// A rate by device.
    #[derive(Eq)]
    pub struct ThrottleDevice {
        /// Path of the device.
        pub path: String,
        /// A second.
        pub rate: u64,
    }

    /// A mount in the long form.
    #[derive(Eq)]
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, …
        #[serde(rename = "Type", skip_serializing_if = "is_zero")]
        pub kind: String,
        /// Path on the host or name of a volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub source: String,
        /// Path in the container.
        #[serde(skip_serializing_if = "is_zero")]
        pub target: String,
        /// Not writable.
        #[serde(skip_serializing_if = "is_zero")]
        pub read_only: bool,
        /// For macOS.
        #[serde(skip_serializing_if = "is_zero")]
        pub consistency: String,
        /// Of a bind.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        /// Of a volume.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        /// Of a tmpfs.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
    }

    /// Options of a bind.
    #[derive(Eq)]
    pub struct BindOptions {
        /// `rprivate`, `rshared`, …
        #[serde(skip_serializing_if = "is_zero")]
        pub propagation: String,
        /// Mounts beneath are left out.
        #[serde(skip_serializing_if = "is_zero")]
        pub non_recursive: bool,
        /// Make the source when it is missing.
        #[serde(skip_serializing_if = "is_zero")]
        pub create_mountpoint: bool,
        /// Mounts beneath stay writable.
        #[serde(skip_serializing_if = "is_zero")]
        pub read_only_non_recursive: bool,
        /// Fail when mounts beneath cannot be made read-only.
        #[serde(skip_serializing_if = "is_zero")]
        pub read_only_force_recursive: bool,
    }

    /// Options of a volume.
    #[derive(Eq)]
    pub struct VolumeOptions {
        /// Do not copy the image's content into an empty volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub no_copy: bool,
        /// Labels of a volume that is made.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub labels: BTreeMap<String, String>,
        /// A directory in the volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub subpath: String,
        /// Driver of a volume that is made, with its options.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<DriverConfig>,
    }

    /// A driver with its options.
    #[derive(Eq)]
    pub struct DriverConfig {
        /// `local`, …
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// Its options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub options: BTreeMap<String, String>,
    }

    /// Options of a tmpfs.
    #[derive(Eq)]
    pub struct TmpfsOptions {
        /// Bytes; 0 is no limit.
        #[serde(skip_serializing_if = "is_zero")]
        pub size_bytes: i64,
        /// Permission bits.
        #[serde(skip_serializing_if = "is_zero")]
        pub mode: u32,
        /// `[["noexec"], ["name", "value"]]`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub options: Vec<Vec<String>>,
    }
}
