//! Limits and devices of a container.

use serde::{Deserialize, Serialize};

/// Limits and devices of a container; absent means unlimited or the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes of memory; at least 6 MiB.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; −1 is unlimited; twice `memory` when absent.
    pub memory_swap: Option<i64>,
    /// Bytes that memory pressure tries to keep the container under.
    pub memory_reservation: Option<u64>,
    /// 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// Whether the kernel must not kill for want of memory (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Relative weight; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time per period.
    pub cpu_quota: Option<i64>,
    /// Microseconds of the period.
    pub cpu_period: Option<u64>,
    /// Processors it may run on (`0-2,4`).
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Number of processes and threads; 0 and −1 are unlimited.
    pub pids_limit: Option<i64>,
    /// Relative block I/O weight, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// The same per device.
    pub blkio_weight_devices: Vec<DeviceWeight>,
    /// Bytes read per second, per device.
    pub read_bytes: Vec<ThrottleDevice>,
    /// Bytes written per second, per device.
    pub write_bytes: Vec<ThrottleDevice>,
    /// Reads per second, per device.
    pub read_operations: Vec<ThrottleDevice>,
    /// Writes per second, per device.
    pub write_operations: Vec<ThrottleDevice>,
    /// Process limits (setrlimit(2)).
    pub ulimits: Vec<Ulimit>,
    /// Devices of the host made available.
    pub devices: Vec<DeviceMapping>,
    /// `c 1:3 rwm` rules added to the device allow list.
    pub device_cgroup_rules: Vec<String>,
}

/// A process limit; −1 is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The soft limit.
    pub soft: i64,
    /// The hard limit.
    pub hard: i64,
}

/// A device of the host, or a directory of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// Path on the host.
    pub host: String,
    /// Path in the container; the host's when empty.
    pub container: String,
    /// Letters of `rwm`; all when empty.
    pub permissions: String,
}

/// A rate for one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleDevice {
    /// Path on the host.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// A block I/O weight for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// Path on the host.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}
