//! What a group has used, as the kernel counts it.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use super::group::Place;
use super::{Version, file};
use crate::Error;

/// One reading of all counters. What the kernel does not have here is zero, empty or `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// Tasks.
    pub pids: PidsUsage,
    /// Block devices.
    pub block_io: BlockIoUsage,
}

/// Processor time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// For each processor; v1 only.
    pub per_cpu: Vec<u64>,
    /// Periods in which a quota was in force.
    pub periods: u64,
    /// Periods in which the group was held back.
    pub throttled_periods: u64,
    /// For how long, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Used now, the page cache included.
    pub usage: u64,
    /// The most that was used; `None` where the kernel does not keep it.
    pub max_usage: Option<u64>,
    /// The hard limit; `None` when there is none (or one beyond any machine).
    pub limit: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// Swap used now (v2), or memory plus swap less memory (v1).
    pub swap: Option<u64>,
    /// `memory.stat`, with the kernel's own names for this version.
    pub stat: BTreeMap<String, u64>,
    /// Processes killed because memory ran out.
    pub oom_kills: u64,
    /// Whether the numbers come from cgroup v2: the names in `stat` differ.
    pub unified: bool,
}

impl MemoryUsage {
    /// Usage without the page cache that can be dropped at once: what `docker stats` shows.
    #[must_use]
    pub fn working_set(&self) -> u64 {
        let name = if self.unified { "inactive_file" } else { "total_inactive_file" };
        self.usage.saturating_sub(self.stat.get(name).copied().unwrap_or(0))
    }
}

/// Tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PidsUsage {
    /// That exist now.
    pub current: u64,
    /// That may exist; `None` for no limit.
    pub limit: Option<u64>,
}

/// Traffic on block devices, summed over the group and what is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockIoUsage {
    /// Bytes, for each device and operation.
    pub bytes: Vec<BlockIoEntry>,
    /// Operations, for each device and operation.
    pub operations: Vec<BlockIoEntry>,
}

/// One counter of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIoEntry {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// `read`, `write`, `sync`, `async`, `discard` or `total`, in lower case.
    pub operation: String,
    /// The count.
    pub value: u64,
}

/// v1 shows "no limit" as the largest whole page below 2^63.
const V1_NO_LIMIT: u64 = 0x7fff_ffff_ffff_0000;

/// Reads what one hierarchy counts.
pub(super) fn read(place: &Place, usage: &mut Usage) -> Result<(), Error> {
    let (directory, hierarchy) = (place.directory(), place.hierarchy);
    match hierarchy.version {
        Version::V1 => {
            if hierarchy.has("cpuacct") {
                cpu_time_v1(directory, &mut usage.cpu)?;
            }
            if hierarchy.has("cpu") {
                throttling(directory, &mut usage.cpu)?;
            }
            if hierarchy.has("memory") {
                usage.memory = memory_v1(directory)?;
            }
            if hierarchy.has("blkio") {
                usage.block_io = block_io_v1(directory)?;
            }
        }
        Version::V2 => {
            if hierarchy.has("cpu") {
                cpu_v2(directory, &mut usage.cpu)?;
            }
            if hierarchy.has("memory") {
                usage.memory = memory_v2(directory)?;
            }
            if hierarchy.has("io") {
                usage.block_io = block_io_v2(directory)?;
            }
        }
    }
    if hierarchy.has("pids") {
        usage.pids.current = file::read_number(directory, "pids.current")?.unwrap_or(0);
        usage.pids.limit = file::read_number(directory, "pids.max")?;
    }
    Ok(())
}

fn cpu_time_v1(directory: BorrowedFd<'_>, cpu: &mut CpuUsage) -> Result<(), Error> {
    cpu.total = file::read_number(directory, "cpuacct.usage")?.unwrap_or(0);
    cpu.user = file::read_number(directory, "cpuacct.usage_user")?.unwrap_or(0);
    cpu.system = file::read_number(directory, "cpuacct.usage_sys")?.unwrap_or(0);
    let per_cpu = file::read_optional(directory, "cpuacct.usage_percpu")?.unwrap_or_default();
    cpu.per_cpu = per_cpu.split_whitespace().filter_map(|each| each.parse().ok()).collect();
    Ok(())
}

fn throttling(directory: BorrowedFd<'_>, cpu: &mut CpuUsage) -> Result<(), Error> {
    let text = file::read_optional(directory, "cpu.stat")?.unwrap_or_default();
    for (key, value) in file::pairs(&text) {
        match key {
            "nr_periods" => cpu.periods = value,
            "nr_throttled" => cpu.throttled_periods = value,
            "throttled_time" => cpu.throttled_time = value,
            _ => {}
        }
    }
    Ok(())
}

fn cpu_v2(directory: BorrowedFd<'_>, cpu: &mut CpuUsage) -> Result<(), Error> {
    let text = file::read_optional(directory, "cpu.stat")?.unwrap_or_default();
    for (key, value) in file::pairs(&text) {
        match key {
            "usage_usec" => cpu.total = value * 1000,
            "user_usec" => cpu.user = value * 1000,
            "system_usec" => cpu.system = value * 1000,
            "nr_periods" => cpu.periods = value,
            "nr_throttled" => cpu.throttled_periods = value,
            "throttled_usec" => cpu.throttled_time = value * 1000,
            _ => {}
        }
    }
    Ok(())
}

fn stat(directory: BorrowedFd<'_>) -> Result<BTreeMap<String, u64>, Error> {
    let text = file::read_optional(directory, "memory.stat")?.unwrap_or_default();
    Ok(file::pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect())
}

fn memory_v1(directory: BorrowedFd<'_>) -> Result<MemoryUsage, Error> {
    let usage = file::read_number(directory, "memory.usage_in_bytes")?.unwrap_or(0);
    let both = file::read_number::<u64>(directory, "memory.memsw.usage_in_bytes")?;
    let limit = file::read_number(directory, "memory.limit_in_bytes")?;
    let oom = file::read_optional(directory, "memory.oom_control")?.unwrap_or_default();
    Ok(MemoryUsage {
        usage,
        max_usage: file::read_number(directory, "memory.max_usage_in_bytes")?,
        limit: limit.filter(|limit| *limit < V1_NO_LIMIT),
        failures: file::read_number(directory, "memory.failcnt")?.unwrap_or(0),
        swap: both.map(|both| both.saturating_sub(usage)),
        stat: stat(directory)?,
        oom_kills: file::keyed(&oom, "oom_kill").unwrap_or(0),
        unified: false,
    })
}

fn memory_v2(directory: BorrowedFd<'_>) -> Result<MemoryUsage, Error> {
    let events = file::read_optional(directory, "memory.events")?.unwrap_or_default();
    Ok(MemoryUsage {
        usage: file::read_number(directory, "memory.current")?.unwrap_or(0),
        max_usage: file::read_number(directory, "memory.peak")?,
        limit: file::read_number(directory, "memory.max")?,
        failures: file::keyed(&events, "max").unwrap_or(0),
        swap: file::read_number(directory, "memory.swap.current")?,
        stat: stat(directory)?,
        oom_kills: file::keyed(&events, "oom_kill").unwrap_or(0),
        unified: true,
    })
}

fn block_io_v1(directory: BorrowedFd<'_>) -> Result<BlockIoUsage, Error> {
    let counters = |name: &str| -> Result<Vec<BlockIoEntry>, Error> {
        for policy in ["throttle", "bfq"] {
            let name = format!("blkio.{policy}.{name}_recursive");
            let text = file::read_optional(directory, &name)?.unwrap_or_default();
            let entries = parse_block_io_v1(&text);
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    };
    Ok(BlockIoUsage { bytes: counters("io_service_bytes")?, operations: counters("io_serviced")? })
}

/// Lines of `8:0 Read 4096`; the last one, `Total 4096`, has no device.
fn parse_block_io_v1(text: &str) -> Vec<BlockIoEntry> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let operation = words.next()?.to_lowercase();
        Some(BlockIoEntry { major, minor, operation, value: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(parse).collect()
}

fn block_io_v2(directory: BorrowedFd<'_>) -> Result<BlockIoUsage, Error> {
    let text = file::read_optional(directory, "io.stat")?.unwrap_or_default();
    Ok(parse_block_io_v2(&text))
}

/// Lines of `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn parse_block_io_v2(text: &str) -> BlockIoUsage {
    let mut usage = BlockIoUsage::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let (operation, counters) = match key {
                "rbytes" => ("read", &mut usage.bytes),
                "wbytes" => ("write", &mut usage.bytes),
                "dbytes" => ("discard", &mut usage.bytes),
                "rios" => ("read", &mut usage.operations),
                "wios" => ("write", &mut usage.operations),
                "dios" => ("discard", &mut usage.operations),
                _ => continue,
            };
            counters.push(BlockIoEntry { major, minor, operation: operation.to_owned(), value });
        }
    }
    usage
}

fn device(word: &str) -> Option<(u32, u32)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{parse_block_io_v1, parse_block_io_v2};

    #[test]
    fn block_io_of_both_versions() {
        let v1 = parse_block_io_v1("8:0 Read 4096\n8:0 Write 1\nTotal 4097\n");
        assert_eq!(v1.len(), 2);
        assert_eq!((v1[0].operation.as_str(), v1[0].value), ("read", 4096));
        let v2 = parse_block_io_v2("254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n");
        assert_eq!(v2.bytes[1].value, 20);
        assert_eq!(v2.operations[1].operation, "write");
    }
}
