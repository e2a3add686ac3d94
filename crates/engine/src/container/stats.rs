//! One reading of a container's use of resources.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// One reading; the fields of both cgroup versions, where the machine has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// When it was taken.
    pub read: Timestamp,
    /// 1 or 2: which version the numbers come from.
    pub cgroup_version: u8,
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Number of processes and threads.
    pub pids: Option<u64>,
    /// Their limit.
    pub pids_limit: Option<u64>,
    /// Bytes moved, per device.
    pub block_bytes: Vec<BlockIo>,
    /// Operations, per device.
    pub block_operations: Vec<BlockIo>,
    /// Interface name → its counters.
    pub networks: BTreeMap<String, InterfaceStats>,
}

/// Processor time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Per processor (cgroup v1).
    pub per_cpu: Vec<u64>,
    /// All time of all processors of the host.
    pub host_total: u64,
    /// How many processors are online.
    pub online: u32,
    /// Periods passed.
    pub periods: u64,
    /// Periods in which it was throttled.
    pub throttled_periods: u64,
    /// Time it was throttled for.
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Used, caches included.
    pub usage: u64,
    /// The most ever used, where the kernel counts it.
    pub maximum: Option<u64>,
    /// The limit; that of the host when there is none.
    pub limit: u64,
    /// How often the limit was hit.
    pub failures: Option<u64>,
    /// `memory.stat`, by its own names.
    pub details: BTreeMap<String, u64>,
}

/// A counter of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIo {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `read`, `write`, …
    pub operation: String,
    /// Bytes or operations.
    pub value: u64,
}

/// Counters of one network interface, from inside the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Receive errors.
    pub received_errors: u64,
    /// Packets dropped on receipt.
    pub received_dropped: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Send errors.
    pub sent_errors: u64,
    /// Packets dropped on sending.
    pub sent_dropped: u64,
}
