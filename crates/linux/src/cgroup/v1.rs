//! Limits as cgroup v1 takes them (Documentation/admin-guide/cgroup-v1).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::BorrowedFd;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::group::{ancestors, open_directory};
use super::limits::{BlockIo, Cpu, DeviceKind, DeviceRule, HugePages, Memory, Rdma, Throttle};
use super::{Hierarchy, Limits, file};
use crate::Error;

/// Writes what belongs to one controller.
pub(super) fn apply(
    directory: BorrowedFd<'_>,
    controller: &str,
    limits: &Limits,
) -> Result<(), Error> {
    match controller {
        "memory" => memory(directory, &limits.memory),
        "cpu" => cpu(directory, &limits.cpu),
        "cpuset" => cpuset(directory, &limits.cpu),
        "pids" => limits.pids.map_or(Ok(()), |most| pids(directory, most)),
        "blkio" => block_io(directory, &limits.block_io),
        "hugetlb" => huge_pages(directory, &limits.huge_pages, "limit_in_bytes"),
        "net_cls" => limits
            .network
            .class
            .map_or(Ok(()), |class| file::write(directory, "net_cls.classid", &class.to_string())),
        "net_prio" => limits.network.priorities.iter().try_for_each(|(interface, priority)| {
            file::write(directory, "net_prio.ifpriomap", &format!("{interface} {priority}"))
        }),
        "rdma" => rdma(directory, &limits.rdma),
        _ => devices(directory, &limits.devices),
    }
}

fn memory(directory: BorrowedFd<'_>, memory: &Memory) -> Result<(), Error> {
    if memory.check_before_update {
        refuse_below_usage(directory, memory.limit, "memory.usage_in_bytes")?;
    }
    limit_and_swap(directory, memory)?;
    if let Some(reservation) = memory.reservation {
        file::write(directory, "memory.soft_limit_in_bytes", &reservation.to_string())?;
    }
    if let Some(limit) = memory.kernel {
        limit_kernel(directory, limit)?;
    }
    if let Some(limit) = memory.kernel_tcp {
        file::write(directory, "memory.kmem.tcp.limit_in_bytes", &limit.to_string())?;
    }
    if memory.disable_oom_killer {
        file::write(directory, "memory.oom_control", "1")?;
    }
    match memory.swappiness {
        Some(swappiness) => file::write(directory, "memory.swappiness", &swappiness.to_string()),
        None => Ok(()),
    }
}

/// Kernels since 5.16 take the number and do nothing with it.
fn limit_kernel(directory: BorrowedFd<'_>, limit: i64) -> Result<(), Error> {
    const NAME: &str = "memory.kmem.limit_in_bytes";
    file::write(directory, NAME, &limit.to_string())?;
    match file::read_number::<i64>(directory, NAME)? {
        Some(set) if limit >= 0 && set > limit => {
            let object = format_args!("{NAME}: this kernel has no such limit");
            Err(Error::new("set", object, Errno::OPNOTSUPP))
        }
        _ => Ok(()),
    }
}

/// The kernel wants `limit <= memory + swap` after each single write: the right order depends on
/// what is there, so the other one is tried when the first is refused.
fn limit_and_swap(directory: BorrowedFd<'_>, memory: &Memory) -> Result<(), Error> {
    let unlimited = memory.limit == Some(-1) && memory.swap.is_none();
    let has_swap = unlimited && file::exists(directory, "memory.memsw.limit_in_bytes");
    let swap = memory.swap.or(has_swap.then_some(-1));
    let limit = |value: i64| file::write(directory, "memory.limit_in_bytes", &value.to_string());
    let both =
        |value: i64| file::write(directory, "memory.memsw.limit_in_bytes", &value.to_string());
    match (memory.limit, swap) {
        (None, None) => Ok(()),
        (Some(value), None) => limit(value),
        (None, Some(value)) => both(value),
        (Some(value), Some(sum)) => match limit(value) {
            Err(error) if error.errno() == Some(Errno::INVAL) => {
                both(sum)?;
                limit(value)
            }
            result => result.and_then(|()| both(sum)),
        },
    }
}

/// Refuses a limit that is below what is used already.
pub(super) fn refuse_below_usage(
    directory: BorrowedFd<'_>,
    limit: Option<i64>,
    name: &str,
) -> Result<(), Error> {
    let Some(limit) = limit.filter(|limit| *limit >= 0) else { return Ok(()) };
    let used = file::read_number::<i64>(directory, name)?.unwrap_or(0);
    if used <= limit {
        return Ok(());
    }
    let object = format!("the memory limit to {limit} bytes while {used} are in use");
    Err(Error::new("lower", object, Errno::BUSY))
}

/// A new quota may fit only the new period, or the new period only the new quota: the period is
/// written again when it was refused before the quota.
fn cpu(directory: BorrowedFd<'_>, cpu: &Cpu) -> Result<(), Error> {
    if let Some(idle) = cpu.idle {
        file::write(directory, "cpu.idle", &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares.filter(|shares| *shares > 0) {
        file::write(directory, "cpu.shares", &shares.to_string())?;
    }
    realtime(directory, cpu)?;
    let period = |period: u64| file::write(directory, "cpu.cfs_period_us", &period.to_string());
    let mut again = None;
    if let Some(value) = cpu.period {
        match period(value) {
            Err(error) if error.errno() == Some(Errno::INVAL) && cpu.quota.is_some() => {
                again = Some(value);
            }
            result => result?,
        }
    }
    if let Some(quota) = cpu.quota {
        file::write(directory, "cpu.cfs_quota_us", &quota.to_string())?;
    }
    if let Some(value) = again {
        period(value)?;
    }
    match cpu.burst {
        Some(burst) => file::write(directory, "cpu.cfs_burst_us", &burst.to_string()),
        None => Ok(()),
    }
}

/// The period first: a longer one has room for a larger share.
fn realtime(directory: BorrowedFd<'_>, cpu: &Cpu) -> Result<(), Error> {
    if let Some(period) = cpu.realtime_period {
        file::write(directory, "cpu.rt_period_us", &period.to_string())?;
    }
    match cpu.realtime_runtime {
        Some(runtime) => file::write(directory, "cpu.rt_runtime_us", &runtime.to_string()),
        None => Ok(()),
    }
}

/// Both versions name it so.
pub(super) fn rdma(
    directory: BorrowedFd<'_>,
    devices: &BTreeMap<String, Rdma>,
) -> Result<(), Error> {
    let most = |most: Option<u32>| most.map_or("max".to_owned(), |most| most.to_string());
    devices.iter().try_for_each(|(device, Rdma { handles, objects })| {
        let value = format!("{device} hca_handle={} hca_object={}", most(*handles), most(*objects));
        file::write(directory, "rdma.max", &value)
    })
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

/// Both versions name it so.
pub(super) fn pids(directory: BorrowedFd<'_>, most: i64) -> Result<(), Error> {
    let value = if most > 0 { most.to_string() } else { "max".to_owned() };
    file::write(directory, "pids.max", &value)
}

fn block_io(directory: BorrowedFd<'_>, block_io: &BlockIo) -> Result<(), Error> {
    if block_io.weight.is_some() || !block_io.weight_devices.is_empty() {
        block_weights(directory, block_io)?;
    }
    throttle(directory, "blkio.throttle.read_bps_device", &block_io.read_bytes)?;
    throttle(directory, "blkio.throttle.write_bps_device", &block_io.write_bytes)?;
    throttle(directory, "blkio.throttle.read_iops_device", &block_io.read_operations)?;
    throttle(directory, "blkio.throttle.write_iops_device", &block_io.write_operations)
}

/// Weights need the BFQ scheduler (or, before Linux 5.0, CFQ, whose files had no prefix).
fn block_weights(directory: BorrowedFd<'_>, block_io: &BlockIo) -> Result<(), Error> {
    let names = ["blkio.bfq.weight", "blkio.weight"];
    let Some(name) = names.into_iter().find(|name| file::exists(directory, name)) else {
        let object = "weights of block devices (no device uses the BFQ scheduler)";
        return Err(Error::new("limit", object, Errno::OPNOTSUPP));
    };
    if let Some(weight) = block_io.weight {
        file::write(directory, name, &weight.to_string())?;
    }
    let device_name = format!("{name}_device");
    block_io.weight_devices.iter().try_for_each(|device| {
        let value = format!("{}:{} {}", device.major, device.minor, device.weight);
        file::write(directory, &device_name, &value)
    })
}

fn throttle(directory: BorrowedFd<'_>, name: &str, throttles: &[Throttle]) -> Result<(), Error> {
    throttles.iter().try_for_each(|throttle| {
        let value = format!("{}:{} {}", throttle.major, throttle.minor, throttle.rate);
        file::write(directory, name, &value)
    })
}

/// `hugetlb.<size>.<suffix>`, and the same for reservations where the kernel counts them.
pub(super) fn huge_pages(
    directory: BorrowedFd<'_>,
    huge_pages: &[HugePages],
    suffix: &str,
) -> Result<(), Error> {
    for HugePages { page_size, limit } in huge_pages {
        let value = limit.to_string();
        file::write(directory, &format!("hugetlb.{page_size}.{suffix}"), &value)?;
        let reserved = format!("hugetlb.{page_size}.rsvd.{suffix}");
        match file::write(directory, &reserved, &value) {
            Err(error) if file::is_missing(&error) => {}
            result => result?,
        }
    }
    Ok(())
}

fn devices(directory: BorrowedFd<'_>, rules: &[DeviceRule]) -> Result<(), Error> {
    let allow = file::open(directory, "devices.allow", OFlags::WRONLY)?;
    let deny = file::open(directory, "devices.deny", OFlags::WRONLY)?;
    rules.iter().try_for_each(|rule| {
        let (file, name) =
            if rule.allow { (&allow, "devices.allow") } else { (&deny, "devices.deny") };
        file::write_open(file, name, &device_rule(rule))
    })
}

/// `c 1:3 rwm`; the kernel takes `a` for everything of both kinds, and then ignores the rest.
fn device_rule(rule: &DeviceRule) -> String {
    let mut text = match rule.kind {
        DeviceKind::All => return "a".to_owned(),
        DeviceKind::Character => "c ".to_owned(),
        DeviceKind::Block => "b ".to_owned(),
    };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    // Writing to a `String` cannot fail.
    _ = write!(text, "{}:{} ", number(rule.major), number(rule.minor));
    let access = rule.access;
    for (letter, wanted) in [('r', access.read), ('w', access.write), ('m', access.mknod)] {
        if wanted {
            text.push(letter);
        }
    }
    text
}

/// A new cpuset takes no process before it has processors and memory nodes. Ours get those of their
/// parents; `clone_children` on the parents then makes the kernel do it for the next one, so that
/// this costs one read.
pub(super) fn inherit_cpuset(
    hierarchy: &Hierarchy,
    directory: BorrowedFd<'_>,
    relative: &str,
) -> Result<(), Error> {
    if !file::read(directory, "cpuset.mems")?.trim().is_empty()
        && !file::read(directory, "cpuset.cpus")?.trim().is_empty()
    {
        return Ok(());
    }
    let mut cpus = file::read(hierarchy.root(), "cpuset.cpus")?;
    let mut mems = file::read(hierarchy.root(), "cpuset.mems")?;
    for path in ancestors(relative).chain([relative]) {
        let level = open_directory(hierarchy, path)
            .map_err(|errno| Error::new("open cpuset", path, errno))?;
        let level = std::os::fd::AsFd::as_fd(&level);
        inherit(level, "cpuset.cpus", &mut cpus)?;
        inherit(level, "cpuset.mems", &mut mems)?;
        if path != relative {
            file::write(level, "cgroup.clone_children", "1")?;
        }
    }
    Ok(())
}

fn inherit(level: BorrowedFd<'_>, name: &str, value: &mut String) -> Result<(), Error> {
    let own = file::read(level, name)?;
    if own.trim().is_empty() {
        return file::write(level, name, value.trim());
    }
    *value = own;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::device_rule;
    use crate::cgroup::{DeviceAccess, DeviceKind, DeviceRule};

    #[test]
    fn device_rules() {
        let mut rule = DeviceRule {
            allow: true,
            kind: DeviceKind::Character,
            major: Some(136),
            minor: None,
            access: DeviceAccess { read: true, write: false, mknod: true },
        };
        assert_eq!(device_rule(&rule), "c 136:* rm");
        rule.kind = DeviceKind::All;
        assert_eq!(device_rule(&rule), "a");
    }
}
