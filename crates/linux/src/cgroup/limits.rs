//! What a group may use: plain numbers, in the units of cgroup v1 where the versions differ.
//!
//! Shapes follow the resources of the OCI runtime specification (config-linux.md, "Control groups"),
//! because that is what callers have in hand; v2 values are derived when they are written.

use std::collections::BTreeMap;

/// Everything that can be limited. `Default` limits nothing and writes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory and swap.
    pub memory: Memory,
    /// Processor time and placement.
    pub cpu: Cpu,
    /// Tasks (threads count too) that may exist at once; `-1` for no limit.
    pub pids: Option<i64>,
    /// Block devices.
    pub block_io: BlockIo,
    /// Huge pages, one entry for each page size.
    pub huge_pages: Vec<HugePages>,
    /// Marks for the host's packet filters and queues; v1 only.
    pub network: Network,
    /// RDMA devices by name.
    pub rdma: BTreeMap<String, Rdma>,
    /// Device rules in order; the first one usually denies everything. Empty: leave as inherited.
    pub devices: Vec<DeviceRule>,
    /// Files of cgroup v2 written as they are (`memory.high` → `1073741824`).
    /// On a hybrid machine only those that its v2 hierarchy has.
    pub unified: BTreeMap<String, String>,
}

/// Limits of memory, in bytes; `-1` for no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Hard limit.
    pub limit: Option<i64>,
    /// Soft limit (v1 `soft_limit_in_bytes`, v2 `memory.low`).
    pub reservation: Option<i64>,
    /// Memory *plus* swap, as v1 and the OCI specification count it.
    pub swap: Option<i64>,
    /// 0 to 100; v1 only, v2 has no such thing.
    pub swappiness: Option<u64>,
    /// Of the kernel's own for the group; v1 only, and no kernel since 5.16.
    pub kernel: Option<i64>,
    /// Of the buffers of TCP connections; v1 only.
    pub kernel_tcp: Option<i64>,
    /// Wait instead of killing when out of memory; v1 only.
    pub disable_oom_killer: bool,
    /// Refuse a limit below what is used now, instead of reclaiming (an update's check).
    pub check_before_update: bool,
}

/// Processor limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Relative weight, 2 to 262144 (1024 is normal); v2 derives `cpu.weight` from it.
    pub shares: Option<u64>,
    /// Microseconds of processor time in each period; `-1` for no limit.
    pub quota: Option<i64>,
    /// Length of the period in microseconds.
    pub period: Option<u64>,
    /// Microseconds that may be saved up beyond the quota.
    pub burst: Option<u64>,
    /// Microseconds of each real-time period for real-time tasks; v1 only, where the parent has as
    /// much.
    pub realtime_runtime: Option<i64>,
    /// Length of the real-time period in microseconds; v1 only.
    pub realtime_period: Option<u64>,
    /// Processors (`0-3,7`).
    pub cpus: Option<String>,
    /// Memory nodes (`0`).
    pub mems: Option<String>,
    /// 1 makes every task of the group run only when nothing else wants to.
    pub idle: Option<i64>,
}

/// Marks on packets that leave the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// The class id (major number in the upper half).
    pub class: Option<u32>,
    /// Priority by network interface.
    pub priorities: Vec<(String, u32)>,
}

/// Limits of one RDMA device; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rdma {
    /// Handles.
    pub handles: Option<u32>,
    /// Objects.
    pub objects: Option<u32>,
}

/// Limits of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Relative weight, 10 to 1000.
    pub weight: Option<u16>,
    /// Weight for single devices.
    pub weight_devices: Vec<WeightedDevice>,
    /// Bytes read a second.
    pub read_bytes: Vec<Throttle>,
    /// Bytes written a second.
    pub write_bytes: Vec<Throttle>,
    /// Reads a second.
    pub read_operations: Vec<Throttle>,
    /// Writes a second.
    pub write_operations: Vec<Throttle>,
}

/// The weight of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedDevice {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// 10 to 1000.
    pub weight: u16,
}

/// The highest rate on one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// A second; 0 removes the limit.
    pub rate: u64,
}

/// The limit of one size of huge pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugePages {
    /// As the kernel names it in its files: `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// One rule of the device controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule {
    /// Let it be used, or keep it from being used.
    pub allow: bool,
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// For what.
    pub access: DeviceAccess,
}

/// The kind of a device in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Both kinds.
    All,
    /// Character devices.
    Character,
    /// Block devices.
    Block,
}

/// What a device rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess {
    /// Opening for reading.
    pub read: bool,
    /// Opening for writing.
    pub write: bool,
    /// Making the node.
    pub mknod: bool,
}

impl DeviceAccess {
    /// Read, write and make.
    pub const ALL: Self = Self { read: true, write: true, mknod: true };
}

/// The controllers that these limits need.
pub(super) fn controllers(limits: &Limits) -> impl Iterator<Item = &'static str> {
    let cpu = &limits.cpu;
    let bandwidth = cpu.shares.is_some()
        || cpu.quota.is_some()
        || cpu.period.is_some()
        || cpu.burst.is_some()
        || cpu.idle.is_some()
        || cpu.realtime_runtime.is_some()
        || cpu.realtime_period.is_some();
    [
        ("memory", limits.memory != Memory::default()),
        ("cpu", bandwidth),
        ("cpuset", cpu.cpus.is_some() || cpu.mems.is_some()),
        ("pids", limits.pids.is_some()),
        ("blkio", limits.block_io != BlockIo::default()),
        ("hugetlb", !limits.huge_pages.is_empty()),
        ("net_cls", limits.network.class.is_some()),
        ("net_prio", !limits.network.priorities.is_empty()),
        ("rdma", !limits.rdma.is_empty()),
        ("devices", !limits.devices.is_empty()),
    ]
    .into_iter()
    .filter_map(|(name, needed)| needed.then_some(name))
}
