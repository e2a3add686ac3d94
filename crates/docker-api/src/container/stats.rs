//! `GET /containers/{id}/stats`: one JSON document a second.

use std::collections::BTreeMap;

use crate::Time;
use crate::lenient::{is_zero, null_if_empty, wire};

wire! {
    /// One sample with the one before it.
    pub struct Stats {
        /// Name with a leading slash.
        #[serde(rename = "name")]
        pub name: String,
        /// 64 hexadecimal digits.
        #[serde(rename = "id")]
        pub id: String,
        /// When it was taken.
        #[serde(rename = "read")]
        pub read: Time,
        /// When the one before was taken.
        #[serde(rename = "preread")]
        pub preread: Time,
        /// Processes.
        #[serde(rename = "pids_stats")]
        pub pids_stats: PidsStats,
        /// Block devices.
        #[serde(rename = "blkio_stats")]
        pub blkio_stats: BlkioStats,
        /// For Windows.
        #[serde(rename = "num_procs")]
        pub num_procs: u32,
        /// For Windows.
        #[serde(rename = "storage_stats")]
        pub storage_stats: StorageStats,
        /// Processors.
        #[serde(rename = "cpu_stats")]
        pub cpu_stats: CpuStats,
        /// Processors, in the sample before.
        #[serde(rename = "precpu_stats")]
        pub precpu_stats: CpuStats,
        /// Memory.
        #[serde(rename = "memory_stats")]
        pub memory_stats: MemoryStats,
        /// By interface.
        #[serde(rename = "networks", skip_serializing_if = "BTreeMap::is_empty")]
        pub networks: BTreeMap<String, NetworkStats>,
    }

    /// Processes.
    pub struct PidsStats {
        /// Now.
        #[serde(rename = "current", skip_serializing_if = "is_zero")]
        pub current: u64,
        /// At most.
        #[serde(rename = "limit", skip_serializing_if = "is_zero")]
        pub limit: u64,
    }

    /// Block devices. Cgroup v2 fills only the first list.
    pub struct BlkioStats {
        /// Bytes.
        #[serde(rename = "io_service_bytes_recursive", serialize_with = "null_if_empty")]
        pub io_service_bytes_recursive: Vec<BlkioEntry>,
        /// Operations.
        #[serde(rename = "io_serviced_recursive", serialize_with = "null_if_empty")]
        pub io_serviced_recursive: Vec<BlkioEntry>,
        /// Waiting operations.
        #[serde(rename = "io_queue_recursive", serialize_with = "null_if_empty")]
        pub io_queue_recursive: Vec<BlkioEntry>,
        /// Nanoseconds.
        #[serde(rename = "io_service_time_recursive", serialize_with = "null_if_empty")]
        pub io_service_time_recursive: Vec<BlkioEntry>,
        /// Nanoseconds.
        #[serde(rename = "io_wait_time_recursive", serialize_with = "null_if_empty")]
        pub io_wait_time_recursive: Vec<BlkioEntry>,
        /// Merged operations.
        #[serde(rename = "io_merged_recursive", serialize_with = "null_if_empty")]
        pub io_merged_recursive: Vec<BlkioEntry>,
        /// Milliseconds.
        #[serde(rename = "io_time_recursive", serialize_with = "null_if_empty")]
        pub io_time_recursive: Vec<BlkioEntry>,
        /// Sectors.
        #[serde(rename = "sectors_recursive", serialize_with = "null_if_empty")]
        pub sectors_recursive: Vec<BlkioEntry>,
    }

    /// A number by device and operation.
    #[derive(Eq)]
    pub struct BlkioEntry {
        /// Major number.
        #[serde(rename = "major")]
        pub major: u64,
        /// Minor number.
        #[serde(rename = "minor")]
        pub minor: u64,
        /// `read`, `write`, …
        #[serde(rename = "op")]
        pub op: String,
        /// The number.
        #[serde(rename = "value")]
        pub value: u64,
    }

    /// For Windows; `{}` here.
    pub struct StorageStats {}

    /// Processors.
    pub struct CpuStats {
        /// Of the container.
        #[serde(rename = "cpu_usage")]
        pub cpu_usage: CpuUsage,
        /// Of the host, nanoseconds over all processors.
        #[serde(rename = "system_cpu_usage", skip_serializing_if = "is_zero")]
        pub system_cpu_usage: u64,
        /// Processors of the host.
        #[serde(rename = "online_cpus", skip_serializing_if = "is_zero")]
        pub online_cpus: u32,
        /// What its quota held back.
        #[serde(rename = "throttling_data")]
        pub throttling_data: ThrottlingData,
    }

    /// Nanoseconds of processor time.
    pub struct CpuUsage {
        /// In all.
        #[serde(rename = "total_usage")]
        pub total_usage: u64,
        /// By processor (cgroup v1 only).
        #[serde(rename = "percpu_usage", skip_serializing_if = "Vec::is_empty")]
        pub percpu_usage: Vec<u64>,
        /// In the kernel.
        #[serde(rename = "usage_in_kernelmode")]
        pub usage_in_kernelmode: u64,
        /// In programs.
        #[serde(rename = "usage_in_usermode")]
        pub usage_in_usermode: u64,
    }

    /// What a quota held back.
    pub struct ThrottlingData {
        /// Periods that passed.
        #[serde(rename = "periods")]
        pub periods: u64,
        /// Periods in which it was held back.
        #[serde(rename = "throttled_periods")]
        pub throttled_periods: u64,
        /// Nanoseconds.
        #[serde(rename = "throttled_time")]
        pub throttled_time: u64,
    }

    /// Memory, bytes.
    pub struct MemoryStats {
        /// Now, page cache included.
        #[serde(rename = "usage", skip_serializing_if = "is_zero")]
        pub usage: u64,
        /// The most so far (cgroup v1 only).
        #[serde(rename = "max_usage", skip_serializing_if = "is_zero")]
        pub max_usage: u64,
        /// `memory.stat`.
        #[serde(rename = "stats", skip_serializing_if = "BTreeMap::is_empty")]
        pub stats: BTreeMap<String, u64>,
        /// How often the limit was hit (cgroup v1 only).
        #[serde(rename = "failcnt", skip_serializing_if = "is_zero")]
        pub failcnt: u64,
        /// The limit, or all of the host's memory.
        #[serde(rename = "limit", skip_serializing_if = "is_zero")]
        pub limit: u64,
    }

    /// One interface.
    pub struct NetworkStats {
        /// Bytes received.
        #[serde(rename = "rx_bytes")]
        pub rx_bytes: u64,
        /// Packets received.
        #[serde(rename = "rx_packets")]
        pub rx_packets: u64,
        /// Packets received broken.
        #[serde(rename = "rx_errors")]
        pub rx_errors: u64,
        /// Packets dropped on reception.
        #[serde(rename = "rx_dropped")]
        pub rx_dropped: u64,
        /// Bytes sent.
        #[serde(rename = "tx_bytes")]
        pub tx_bytes: u64,
        /// Packets sent.
        #[serde(rename = "tx_packets")]
        pub tx_packets: u64,
        /// Packets that could not be sent.
        #[serde(rename = "tx_errors")]
        pub tx_errors: u64,
        /// Packets dropped on sending.
        #[serde(rename = "tx_dropped")]
        pub tx_dropped: u64,
    }
}
