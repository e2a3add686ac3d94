//! `linux.resources` as limits of a control group.

use linux::cgroup::{
    BlockIo, Cpu, DeviceAccess, DeviceKind, DeviceRule, HugePages, Limits, Memory, Network, Rdma,
    Throttle, WeightedDevice,
};
use oci::runtime::{Resources, ThrottleDevice};

use crate::Error;

/// The limits; what control groups of today cannot do is refused.
pub(crate) fn limits(resources: &Resources) -> Result<Limits, Error> {
    Ok(Limits {
        memory: resources.memory.as_ref().map(memory).transpose()?.unwrap_or_default(),
        cpu: resources.cpu.as_ref().map(cpu).unwrap_or_default(),
        pids: set(resources.pids.and_then(|pids| pids.limit)),
        block_io: resources.block_io.as_ref().map(block_io).transpose()?.unwrap_or_default(),
        huge_pages: resources
            .hugepage_limits
            .iter()
            .map(|entry| {
                let page_size = word("hugepageLimits.pageSize", &entry.page_size)?;
                Ok(HugePages { page_size, limit: entry.limit })
            })
            .collect::<Result<_, Error>>()?,
        network: resources.network.as_ref().map(network).transpose()?.unwrap_or_default(),
        rdma: resources
            .rdma
            .iter()
            .map(|(device, most)| Ok((word("rdma", device)?, rdma(*most))))
            .collect::<Result<_, Error>>()?,
        devices: devices(resources)?,
        unified: resources
            .unified
            .iter()
            .map(|(name, value)| Ok((file_of_a_limit(name)?, value.clone())))
            .collect::<Result<_, Error>>()?,
    })
}

/// Files of a group by which processes are moved, stopped or ended: by them a configuration would take
/// strangers into the container's group, or end them.
const NO_LIMITS: [&str; 6] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.kill",
    "cgroup.freeze",
    "cgroup.type",
    "cgroup.subtree_control",
];

fn file_of_a_limit(name: &str) -> Result<String, Error> {
    if NO_LIMITS.contains(&name) {
        return Err(Error::invalid("linux.resources.unified", format!("{name} is not a limit")));
    }
    word("unified", name)
}

/// 0 means "not set" in bundles that Docker and containerd write.
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

/// What becomes part of a file's name, or one word of its line.
fn word(member: &str, text: &str) -> Result<String, Error> {
    let is_plain = |c: char| c.is_ascii_graphic() && c != '/';
    if text.is_empty() || !text.chars().all(is_plain) {
        let place = format!("linux.resources.{member}");
        return Err(Error::invalid(place, format!("{text:?} is not a name")));
    }
    Ok(text.to_owned())
}

fn network(network: &oci::runtime::Network) -> Result<Network, Error> {
    let priorities = network.priorities.iter();
    let named = priorities.map(|one| Ok((word("network.priorities", &one.name)?, one.priority)));
    Ok(Network {
        class: network.class_id.filter(|class| *class != 0),
        priorities: named.collect::<Result<_, Error>>()?,
    })
}

fn rdma(most: oci::runtime::Rdma) -> Rdma {
    Rdma { handles: most.hca_handles, objects: most.hca_objects }
}

fn memory(memory: &oci::runtime::Memory) -> Result<Memory, Error> {
    if memory.use_hierarchy == Some(false) {
        return Err(Error::unsupported("linux.resources.memory.useHierarchy: kernels always do"));
    }
    Ok(Memory {
        limit: set(memory.limit),
        reservation: set(memory.reservation),
        swap: set(memory.swap),
        swappiness: memory.swappiness,
        kernel: set(memory.kernel),
        kernel_tcp: set(memory.kernel_tcp),
        disable_oom_killer: memory.disable_oom_killer.unwrap_or(false),
        check_before_update: memory.check_before_update.unwrap_or(false),
    })
}

fn cpu(cpu: &oci::runtime::Cpu) -> Cpu {
    Cpu {
        shares: cpu.shares.filter(|shares| *shares != 0),
        quota: set(cpu.quota),
        period: cpu.period.filter(|period| *period != 0),
        burst: cpu.burst,
        realtime_runtime: set(cpu.realtime_runtime),
        realtime_period: cpu.realtime_period.filter(|period| *period != 0),
        cpus: cpu.cpus.clone().filter(|list| !list.is_empty()),
        mems: cpu.mems.clone().filter(|list| !list.is_empty()),
        idle: cpu.idle,
    }
}

fn block_io(block_io: &oci::runtime::BlockIo) -> Result<BlockIo, Error> {
    let devices = block_io.weight_device.iter().map(|device| device.leaf_weight);
    if devices.chain([block_io.leaf_weight]).flatten().any(|weight| weight != 0) {
        let feature = "linux.resources.blockIO.leafWeight: the kernel has none since 5.0";
        return Err(Error::unsupported(feature));
    }
    let mut weight_devices = Vec::new();
    for device in &block_io.weight_device {
        let (major, minor) = numbers(device.major, device.minor)?;
        let Some(weight) = device.weight else { continue };
        weight_devices.push(WeightedDevice { major, minor, weight });
    }
    Ok(BlockIo {
        weight: block_io.weight.filter(|weight| *weight != 0),
        weight_devices,
        read_bytes: throttles(&block_io.throttle_read_bps_device)?,
        write_bytes: throttles(&block_io.throttle_write_bps_device)?,
        read_operations: throttles(&block_io.throttle_read_iops_device)?,
        write_operations: throttles(&block_io.throttle_write_iops_device)?,
    })
}

fn throttles(devices: &[ThrottleDevice]) -> Result<Vec<Throttle>, Error> {
    let one = |device: &ThrottleDevice| {
        let (major, minor) = numbers(device.major, device.minor)?;
        Ok(Throttle { major, minor, rate: device.rate })
    };
    devices.iter().map(one).collect()
}

fn numbers(major: i64, minor: i64) -> Result<(u32, u32), Error> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => Err(Error::invalid("linux.resources.blockIO", format!("device {major}:{minor}"))),
    }
}

/// The container always gets the devices it always has; the configuration's rules come first.
const ALWAYS: [(Option<u32>, Option<u32>, DeviceAccess); 10] = [
    (None, None, DeviceAccess { read: false, write: false, mknod: true }),
    (Some(1), Some(3), DeviceAccess::ALL),
    (Some(1), Some(5), DeviceAccess::ALL),
    (Some(1), Some(7), DeviceAccess::ALL),
    (Some(1), Some(8), DeviceAccess::ALL),
    (Some(1), Some(9), DeviceAccess::ALL),
    (Some(5), Some(0), DeviceAccess::ALL),
    (Some(5), Some(1), DeviceAccess::ALL),
    (Some(5), Some(2), DeviceAccess::ALL),
    (Some(136), None, DeviceAccess::ALL),
];

fn devices(resources: &Resources) -> Result<Vec<DeviceRule>, Error> {
    if resources.devices.is_empty() {
        return Ok(Vec::new());
    }
    let mut rules: Vec<DeviceRule> =
        resources.devices.iter().map(device_rule).collect::<Result<_, _>>()?;
    // After a rule that allows all, single ones say nothing new.
    let open = rules.last().is_some_and(|rule| rule.allow && rule.kind == DeviceKind::All);
    if !open {
        let block = DeviceRule {
            allow: true,
            kind: DeviceKind::Block,
            major: None,
            minor: None,
            access: DeviceAccess { read: false, write: false, mknod: true },
        };
        rules.push(block);
        rules.extend(ALWAYS.map(|(major, minor, access)| DeviceRule {
            allow: true,
            kind: DeviceKind::Character,
            major,
            minor,
            access,
        }));
    }
    Ok(rules)
}

fn device_rule(rule: &oci::runtime::DeviceRule) -> Result<DeviceRule, Error> {
    let fail = |what: &str| Error::invalid("linux.resources.devices", what.to_owned());
    let kind = match rule.kind.as_deref() {
        None | Some("" | "a") => DeviceKind::All,
        Some("c") => DeviceKind::Character,
        Some("b") => DeviceKind::Block,
        Some(other) => return Err(fail(&format!("type {other:?}"))),
    };
    let number = |value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| fail("a number out of range")),
    };
    let access = match rule.access.as_deref() {
        None | Some("") => DeviceAccess::ALL,
        Some(letters) if letters.chars().all(|letter| "rwm".contains(letter)) => DeviceAccess {
            read: letters.contains('r'),
            write: letters.contains('w'),
            mknod: letters.contains('m'),
        },
        Some(other) => return Err(fail(&format!("access {other:?}"))),
    };
    Ok(DeviceRule {
        allow: rule.allow,
        kind,
        major: number(rule.major)?,
        minor: number(rule.minor)?,
        access,
    })
}

#[cfg(test)]
mod tests {
    use super::limits;
    use oci::runtime::Resources;

    fn read(text: &str) -> Result<linux::cgroup::Limits, crate::Error> {
        limits(&serde_json::from_str::<Resources>(text).unwrap())
    }

    #[test]
    fn zero_is_not_set() {
        let limits = read(r#"{"memory":{"limit":0,"swap":-1},"pids":{"limit":0}}"#).unwrap();
        assert_eq!((limits.memory.limit, limits.memory.swap), (None, Some(-1)));
        assert_eq!(limits.pids, None);
    }

    #[test]
    fn names_lead_nowhere_else() {
        for wrong in [
            r#"{"unified":{"cgroup.procs":"1"}}"#,
            r#"{"unified":{"cgroup.kill":"1"}}"#,
            r#"{"unified":{"../memory.max":"1"}}"#,
            r#"{"unified":{"":"1"}}"#,
            r#"{"hugepageLimits":[{"pageSize":"2MB/../../x","limit":1}]}"#,
            r#"{"hugepageLimits":[{"pageSize":"","limit":1}]}"#,
            r#"{"rdma":{"mlx5_1 hca_handle=9\nmlx5_2":{"hcaHandles":3}}}"#,
            r#"{"network":{"priorities":[{"name":"eth0 7\neth1","priority":1}]}}"#,
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("linux.resources."), "{error}");
        }
        assert!(read(r#"{"unified":{"cgroup.max.depth":"3","memory.high":"1\n"}}"#).is_ok());
    }

    #[test]
    fn default_devices_follow_a_deny() {
        let limits = read(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#).unwrap();
        assert!(!limits.devices[0].allow);
        assert!(limits.devices.iter().any(|rule| rule.major == Some(136) && rule.allow));
        let open = read(r#"{"devices":[{"allow":true,"access":"rwm"}]}"#).unwrap();
        assert_eq!(open.devices.len(), 1);
        assert!(read("{}").unwrap().devices.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(read(r#"{"devices":[{"type":"x"}]}"#).is_err());
        assert!(read(r#"{"devices":[{"access":"rx"}]}"#).is_err());
        assert!(read(r#"{"memory":{"useHierarchy":false}}"#).is_err());
        assert!(read(r#"{"blockIO":{"leafWeight":5}}"#).is_err());
        assert!(
            read(r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":5}]}}"#).is_err()
        );
    }
}
