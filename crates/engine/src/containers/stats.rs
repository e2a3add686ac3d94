//! Readings of a container's use of resources.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use linux::cgroup::{BlockIoEntry, Group, Layout, Mode, Usage};
use tokio::time::{Instant, MissedTickBehavior};

use super::entry::Container;
use super::{Containers, Shared, end};
use crate::container::{BlockIo, CpuStats, InterfaceStats, MemoryStats, Stats};
use crate::error::Result;
use crate::rooms;

impl Containers {
    /// One reading of its use of resources, taken now; zeros when it does not run.
    ///
    /// # Errors
    /// `NoSuchContainer`.
    pub async fn stats(&self, name: &str) -> Result<Stats> {
        let container = self.shared.table.find(name)?;
        take(&self.shared, &container).await
    }

    /// A reading now and one per interval, until the container is removed.
    ///
    /// # Errors
    /// `NoSuchContainer`.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn stats_stream(&self, name: &str, interval: Duration) -> Result<StatsStream> {
        let container = self.shared.table.find(name)?;
        let mut ticks = tokio::time::interval_at(Instant::now(), interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(StatsStream { shared: Arc::clone(&self.shared), container, ticks })
    }
}

/// Readings, as they come.
#[derive(Debug)]
pub struct StatsStream {
    shared: Arc<Shared>,
    container: Arc<Container>,
    ticks: tokio::time::Interval,
}

impl StatsStream {
    /// The next reading; `None` once the container is gone.
    pub async fn next(&mut self) -> Option<Result<Stats>> {
        let mut watch = self.container.watch();
        tokio::select! {
            () = self.shared.rooms.cancel.cancelled() => return None,
            _ = watch.wait_for(|phase| phase.removed) => return None,
            _ = self.ticks.tick() => {}
        }
        Some(take(&self.shared, &self.container).await)
    }
}

async fn take(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<Stats> {
    let Some(live) = container.live() else {
        return Ok(Stats { read: Timestamp::now(), ..Stats::default() });
    };
    let path = end::cgroup_path(&shared.rooms, container);
    let id = container.id.clone();
    let has_network = live.endpoint.is_some();
    shared
        .rooms
        .blocking("measure a container", move |_| {
            let failed = |error| rooms::kernel("measure", &id, error);
            let layout = Layout::detect().map_err(failed)?;
            let Ok(group) = Group::open(layout, &path) else {
                // It has ended meanwhile.
                return Ok(Stats { read: Timestamp::now(), ..Stats::default() });
            };
            let usage = group.usage().map_err(failed)?;
            let networks = if has_network { interfaces(live.pid) } else { BTreeMap::new() };
            let version = if layout.mode() == Mode::Unified { 2 } else { 1 };
            Ok(convert(usage, version, networks))
        })
        .await
}

fn convert(usage: Usage, version: u8, networks: BTreeMap<String, InterfaceStats>) -> Stats {
    let (host_total, online) = host_time();
    let entries = |entries: Vec<BlockIoEntry>| {
        let entry = |entry: BlockIoEntry| BlockIo {
            major: entry.major.into(),
            minor: entry.minor.into(),
            operation: entry.operation,
            value: entry.value,
        };
        entries.into_iter().map(entry).collect()
    };
    Stats {
        read: Timestamp::now(),
        cgroup_version: version,
        cpu: CpuStats {
            total: usage.cpu.total,
            user: usage.cpu.user,
            system: usage.cpu.system,
            per_cpu: usage.cpu.per_cpu,
            host_total,
            online,
            periods: usage.cpu.periods,
            throttled_periods: usage.cpu.throttled_periods,
            throttled_time: usage.cpu.throttled_time,
        },
        memory: MemoryStats {
            usage: usage.memory.usage,
            maximum: usage.memory.max_usage,
            limit: usage.memory.limit.unwrap_or_else(crate::system::memory),
            failures: Some(usage.memory.failures).filter(|_| version == 1),
            details: usage.memory.stat,
        },
        pids: Some(usage.pids.current),
        pids_limit: usage.pids.limit,
        block_bytes: entries(usage.block_io.bytes),
        block_operations: entries(usage.block_io.operations),
        networks,
    }
}

/// Nanoseconds that all processors have spent since the start, and how many there are.
fn host_time() -> (u64, u32) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut total = 0;
    let mut processors = 0;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("cpu") else { break };
        match rest.strip_prefix(' ') {
            // The last two columns, of guests, are in the first two already.
            Some(all) => {
                let ticks = all.split_whitespace().take(8);
                total = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
            }
            None => processors += 1,
        }
    }
    (total * 10_000_000, processors)
}

/// The counters of a process's network namespace, but not of its loopback.
fn interfaces(pid: u32) -> BTreeMap<String, InterfaceStats> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    parse_interfaces(&text)
}

fn parse_interfaces(text: &str) -> BTreeMap<String, InterfaceStats> {
    let line = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> =
            counters.split_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
        let at = |index: usize| counters.get(index).copied().unwrap_or(0);
        let stats = InterfaceStats {
            received_bytes: at(0),
            received_packets: at(1),
            received_errors: at(2),
            received_dropped: at(3),
            sent_bytes: at(8),
            sent_packets: at(9),
            sent_errors: at(10),
            sent_dropped: at(11),
        };
        Some((name.trim().to_owned(), stats))
    };
    text.lines().skip(2).filter_map(line).filter(|(name, _)| name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::{host_time, parse_interfaces};

    #[test]
    fn counters_of_interfaces() {
        let text = "Inter-|   Receive\n face |bytes\n\
            lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  \
            eth0:100 2 3 4 5 6 7 8 900 10 11 12 13 14 15 16\n";
        let found = parse_interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found["eth0"].received_bytes, found["eth0"].sent_bytes), (100, 900));
        assert_eq!(found["eth0"].sent_dropped, 12);
    }

    #[test]
    fn the_host_has_processors() {
        let (total, processors) = host_time();
        assert!(total > 0 && processors > 0);
    }
}
