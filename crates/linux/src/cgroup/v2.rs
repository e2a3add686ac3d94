//! Limits as cgroup v2 takes them (Documentation/admin-guide/cgroup-v2.rst).

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::group::{Place, ancestors, open_directory};
use super::limits::{BlockIo, Cpu, Memory, Throttle};
use super::{Hierarchy, Limits, file, v1};
use crate::Error;

/// The v2 name of a controller.
fn name_of(controller: &str) -> &str {
    if controller == "blkio" { "io" } else { controller }
}

/// Sees to it that a controller is on in the group: from the root downwards, each level must pass
/// it on.
pub(super) fn enable(place: &Place, relative: &str, controller: &str) -> Result<(), Error> {
    let controller = name_of(controller);
    if lists(place.directory(), controller)? {
        return Ok(());
    }
    pass_down(place.hierarchy, relative, controller)
}

/// As [`enable`] for everything that the machine has, so that all of it is counted; what a level
/// does not let through shows when a limit needs it.
pub(super) fn enable_all(
    hierarchy: &Hierarchy,
    directory: BorrowedFd<'_>,
    relative: &str,
) -> Result<(), Error> {
    let available = file::read(directory, "cgroup.controllers")?;
    let has = |name: &str| available.split_whitespace().any(|each| each == name);
    for controller in hierarchy.controllers.iter().filter(|name| !has(name)) {
        drop(pass_down(hierarchy, relative, controller));
    }
    Ok(())
}

fn lists(directory: BorrowedFd<'_>, controller: &str) -> Result<bool, Error> {
    let available = file::read(directory, "cgroup.controllers")?;
    Ok(available.split_whitespace().any(|name| name == controller))
}

fn pass_down(hierarchy: &Hierarchy, relative: &str, controller: &str) -> Result<(), Error> {
    let on = format!("+{controller}");
    file::write(hierarchy.root(), "cgroup.subtree_control", &on)?;
    for path in ancestors(relative) {
        let level = open_directory(hierarchy, path)
            .map_err(|errno| Error::new("open cgroup", path, errno))?;
        file::write(level.as_fd(), "cgroup.subtree_control", &on)?;
    }
    Ok(())
}

/// Writes what belongs to one controller (named as in v1).
pub(super) fn apply(
    directory: BorrowedFd<'_>,
    controller: &str,
    limits: &Limits,
) -> Result<(), Error> {
    match controller {
        "memory" => memory(directory, &limits.memory),
        "cpu" => cpu(directory, &limits.cpu),
        "cpuset" => cpuset(directory, &limits.cpu),
        "pids" => limits.pids.map_or(Ok(()), |most| v1::pids(directory, most)),
        "blkio" => block_io(directory, &limits.block_io),
        "hugetlb" => v1::huge_pages(directory, &limits.huge_pages, "max"),
        "rdma" => v1::rdma(directory, &limits.rdma),
        other => Err(Error::new("find the cgroup controller", other, Errno::OPNOTSUPP)),
    }
}

/// Writes files by name; a name is that of a file of the group itself.
pub(super) fn apply_unified(
    place: &Place,
    relative: &str,
    unified: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for (name, value) in unified {
        let controller = name.split('.').next().unwrap_or_default();
        if name.contains('/') || controller.is_empty() {
            return Err(Error::new(
                "write the cgroup file",
                format_args!("{name:?}"),
                Errno::INVAL,
            ));
        }
        if place.hierarchy.has(controller) {
            enable(place, relative, controller)?;
        }
        file::write(place.directory(), name, value)?;
    }
    Ok(())
}

fn bytes(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn memory(directory: BorrowedFd<'_>, memory: &Memory) -> Result<(), Error> {
    if memory.check_before_update {
        v1::refuse_below_usage(directory, memory.limit, "memory.current")?;
    }
    for (is_asked, object) in [
        (memory.disable_oom_killer, "whether the OOM killer is on"),
        (memory.swappiness.is_some(), "swappiness"),
        (memory.kernel.is_some_and(is_limit), "a limit of the kernel's memory"),
        (memory.kernel_tcp.is_some_and(is_limit), "a limit of TCP buffers"),
    ] {
        if is_asked {
            return Err(not_there(object));
        }
    }
    // `swap` counts both, as v1 does; `memory.swap.max` counts swap alone. It is written first so
    // that a lowered memory limit cannot push more out than is allowed.
    if let Some(swap) = swap_alone(memory)? {
        match file::write(directory, "memory.swap.max", &bytes(swap)) {
            // Without swap in the kernel there is no file, and nothing to limit.
            Err(error) if file::is_missing(&error) && swap <= 0 => {}
            result => result?,
        }
    }
    if let Some(limit) = memory.limit {
        file::write(directory, "memory.max", &bytes(limit))?;
    }
    match memory.reservation {
        Some(reservation) => file::write(directory, "memory.low", &bytes(reservation)),
        None => Ok(()),
    }
}

/// -1 is for no limit, which v2 always gives.
fn is_limit(value: i64) -> bool {
    value >= 0
}

/// What v1 has and v2 has not.
fn not_there(object: &str) -> Error {
    Error::new("set", format_args!("{object} in cgroup v2"), Errno::OPNOTSUPP)
}

fn swap_alone(memory: &Memory) -> Result<Option<i64>, Error> {
    match (memory.swap, memory.limit) {
        (None, Some(-1)) | (Some(-1), _) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (Some(swap), Some(limit)) if limit >= 0 && swap >= limit => Ok(Some(swap - limit)),
        (Some(swap), limit) => {
            let limit = limit.map_or("no memory limit".to_owned(), |limit| limit.to_string());
            let object = format!("memory plus swap of {swap} with {limit}");
            Err(Error::new("set", object, Errno::INVAL))
        }
    }
}

fn cpu(directory: BorrowedFd<'_>, cpu: &Cpu) -> Result<(), Error> {
    if cpu.realtime_runtime.is_some() || cpu.realtime_period.is_some() {
        return Err(not_there("time for real-time tasks"));
    }
    if let Some(idle) = cpu.idle {
        file::write(directory, "cpu.idle", &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares.filter(|shares| *shares > 0) {
        file::write(directory, "cpu.weight", &weight_of_shares(shares).to_string())?;
    }
    if cpu.quota.is_some() || cpu.period.is_some() {
        let quota = match cpu.quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        let value = match cpu.period {
            Some(period) => format!("{quota} {period}"),
            None => quota,
        };
        file::write(directory, "cpu.max", &value)?;
    }
    match cpu.burst {
        Some(burst) => file::write(directory, "cpu.max.burst", &burst.to_string()),
        None => Ok(()),
    }
}

/// `cpu.weight` for v1 shares: a curve through (2, 1), (1024, 100) and (262144, 10000), so that the
/// default of one is the default of the other.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "shares are clamped, the result lies between 1 and 10000"
)]
fn weight_of_shares(shares: u64) -> u64 {
    let logarithm = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (logarithm * logarithm + 125.0 * logarithm) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

fn cpuset(directory: BorrowedFd<'_>, cpu: &Cpu) -> Result<(), Error> {
    if let Some(cpus) = &cpu.cpus {
        file::write(directory, "cpuset.cpus", cpus)?;
    }
    match &cpu.mems {
        Some(mems) => file::write(directory, "cpuset.mems", mems),
        None => Ok(()),
    }
}

fn block_io(directory: BorrowedFd<'_>, block_io: &BlockIo) -> Result<(), Error> {
    if block_io.weight.is_some() || !block_io.weight_devices.is_empty() {
        block_weights(directory, block_io)?;
    }
    throttle(directory, "rbps", &block_io.read_bytes)?;
    throttle(directory, "wbps", &block_io.write_bytes)?;
    throttle(directory, "riops", &block_io.read_operations)?;
    throttle(directory, "wiops", &block_io.write_operations)
}

/// BFQ takes v1's 10 to 1000; `io.weight` goes from 1 to 10000.
fn block_weights(directory: BorrowedFd<'_>, block_io: &BlockIo) -> Result<(), Error> {
    let bfq = file::exists(directory, "io.bfq.weight");
    let convert = |weight: u16| if bfq { u32::from(weight) } else { io_weight(u32::from(weight)) };
    let name = if bfq { "io.bfq.weight" } else { "io.weight" };
    if let Some(weight) = block_io.weight {
        file::write(directory, name, &format!("default {}", convert(weight)))?;
    }
    block_io.weight_devices.iter().try_for_each(|device| {
        let value = format!("{}:{} {}", device.major, device.minor, convert(device.weight));
        file::write(directory, name, &value)
    })
}

fn io_weight(weight: u32) -> u32 {
    1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990
}

fn throttle(directory: BorrowedFd<'_>, key: &str, throttles: &[Throttle]) -> Result<(), Error> {
    throttles.iter().try_for_each(|Throttle { major, minor, rate }| {
        let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
        file::write(directory, "io.max", &format!("{major}:{minor} {key}={rate}"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Memory, io_weight, swap_alone, weight_of_shares};

    #[test]
    fn shares_become_weights() {
        let cases = [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)];
        for (shares, weight) in cases {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn block_weights_span_the_range() {
        assert_eq!([io_weight(10), io_weight(1000), io_weight(0)], [1, 10_000, 1]);
    }

    #[test]
    fn swap_is_counted_alone() {
        let of = |limit, swap| swap_alone(&Memory { limit, swap, ..Memory::default() });
        assert_eq!(of(Some(100), Some(150)).unwrap(), Some(50));
        assert_eq!(of(Some(100), Some(-1)).unwrap(), Some(-1));
        assert_eq!(of(Some(-1), None).unwrap(), Some(-1));
        assert_eq!(of(Some(100), None).unwrap(), None);
        assert!(of(Some(100), Some(50)).is_err());
        assert!(of(None, Some(50)).is_err());
    }
}
