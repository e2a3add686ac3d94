//! `GET /containers/{id}/stats`.

use docker_api::container as wire;
use engine::container::{BlockIo, CpuStats, InterfaceStats, Stats};

/// One document: a reading with the one before it.
pub(crate) fn stats(id: &str, name: &str, reading: &Stats, before: Option<&Stats>) -> wire::Stats {
    wire::Stats {
        name: format!("/{name}"),
        id: id.to_owned(),
        read: reading.read.into(),
        preread: before.map(|before| before.read).into(),
        pids_stats: wire::PidsStats {
            current: reading.pids.unwrap_or(0),
            // Docker writes "unlimited" as the largest number.
            limit: reading.pids_limit.unwrap_or(u64::MAX),
        },
        blkio_stats: wire::BlkioStats {
            io_service_bytes_recursive: entries(&reading.block_bytes),
            io_serviced_recursive: entries(&reading.block_operations),
            ..wire::BlkioStats::default()
        },
        cpu_stats: cpu(&reading.cpu),
        precpu_stats: before.map(|before| cpu(&before.cpu)).unwrap_or_default(),
        memory_stats: wire::MemoryStats {
            usage: reading.memory.usage,
            max_usage: reading.memory.maximum.unwrap_or(0),
            stats: reading.memory.details.clone(),
            failcnt: reading.memory.failures.unwrap_or(0),
            limit: reading.memory.limit,
        },
        networks: reading
            .networks
            .iter()
            .map(|(name, counters)| (name.clone(), interface(counters)))
            .collect(),
        ..wire::Stats::default()
    }
}

fn cpu(reading: &CpuStats) -> wire::CpuStats {
    wire::CpuStats {
        cpu_usage: wire::CpuUsage {
            total_usage: reading.total,
            percpu_usage: reading.per_cpu.clone(),
            usage_in_kernelmode: reading.system,
            usage_in_usermode: reading.user,
        },
        system_cpu_usage: reading.host_total,
        online_cpus: reading.online,
        throttling_data: wire::ThrottlingData {
            periods: reading.periods,
            throttled_periods: reading.throttled_periods,
            throttled_time: reading.throttled_time,
        },
    }
}

fn entries(counters: &[BlockIo]) -> Vec<wire::BlkioEntry> {
    let entry = |counter: &BlockIo| wire::BlkioEntry {
        major: counter.major,
        minor: counter.minor,
        op: counter.operation.clone(),
        value: counter.value,
    };
    counters.iter().map(entry).collect()
}

fn interface(counters: &InterfaceStats) -> wire::NetworkStats {
    wire::NetworkStats {
        rx_bytes: counters.received_bytes,
        rx_packets: counters.received_packets,
        rx_errors: counters.received_errors,
        rx_dropped: counters.received_dropped,
        tx_bytes: counters.sent_bytes,
        tx_packets: counters.sent_packets,
        tx_errors: counters.sent_errors,
        tx_dropped: counters.sent_dropped,
    }
}
