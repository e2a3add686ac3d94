//! Limits and devices, both ways.

use docker_api::container as wire;
use engine::container::{DeviceMapping, DeviceWeight, Resources, ThrottleDevice, Ulimit};

use super::create::non_empty;
use crate::http::Refusal;

/// The engine's limits of what the wire says.
pub(super) fn read(config: &mut wire::HostConfig) -> Result<Resources, Refusal> {
    refuse_missing(config)?;
    Ok(Resources {
        memory: positive(config.memory, "Memory")?,
        memory_swap: Some(config.memory_swap).filter(|&bytes| bytes != 0),
        memory_reservation: positive(config.memory_reservation, "MemoryReservation")?,
        // -1 is what older clients send for "not given".
        memory_swappiness: match config.memory_swappiness {
            None | Some(-1) => None,
            Some(percent) => Some(u64::try_from(percent).map_err(|_| {
                Refusal::invalid(format!("invalid value for MemorySwappiness: {percent}"))
            })?),
        },
        oom_kill_disable: config.oom_kill_disable.unwrap_or(false),
        nano_cpus: positive(config.nano_cpus, "NanoCpus")?,
        cpu_shares: positive(config.cpu_shares, "CpuShares")?,
        cpu_quota: Some(config.cpu_quota).filter(|&quota| quota != 0),
        cpu_period: positive(config.cpu_period, "CpuPeriod")?,
        cpuset_cpus: non_empty(&config.cpuset_cpus),
        cpuset_mems: non_empty(&config.cpuset_mems),
        pids_limit: config.pids_limit.filter(|&limit| limit != 0),
        blkio_weight: Some(config.blkio_weight).filter(|&weight| weight != 0),
        blkio_weight_devices: std::mem::take(&mut config.blkio_weight_device)
            .into_iter()
            .map(|device| DeviceWeight { path: device.path, weight: device.weight })
            .collect(),
        read_bytes: read_rates(&mut config.blkio_device_read_bps),
        write_bytes: read_rates(&mut config.blkio_device_write_bps),
        read_operations: read_rates(&mut config.blkio_device_read_iops),
        write_operations: read_rates(&mut config.blkio_device_write_iops),
        ulimits: std::mem::take(&mut config.ulimits)
            .into_iter()
            .map(|limit| Ulimit { name: limit.name, soft: limit.soft, hard: limit.hard })
            .collect(),
        devices: std::mem::take(&mut config.devices)
            .into_iter()
            .map(|device| DeviceMapping {
                host: device.path_on_host,
                container: device.path_in_container,
                permissions: device.cgroup_permissions,
            })
            .collect(),
        device_cgroup_rules: std::mem::take(&mut config.device_cgroup_rules),
    })
}

fn refuse_missing(config: &wire::HostConfig) -> Result<(), Refusal> {
    let given = [
        (!config.device_requests.is_empty(), "DeviceRequests (--gpus, CDI devices)"),
        (config.cpu_realtime_period != 0, "CpuRealtimePeriod (--cpu-rt-period)"),
        (config.cpu_realtime_runtime != 0, "CpuRealtimeRuntime (--cpu-rt-runtime)"),
        (config.kernel_memory != 0, "KernelMemory (removed from the kernel)"),
        (config.kernel_memory_tcp != 0, "KernelMemoryTCP (removed from the kernel)"),
        (config.cpu_count != 0, "CpuCount (Windows only)"),
        (config.cpu_percent != 0, "CpuPercent (Windows only)"),
        (config.io_maximum_iops != 0, "IOMaximumIOps (Windows only)"),
        (config.io_maximum_bandwidth != 0, "IOMaximumBandwidth (Windows only)"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(Refusal::not_implemented(option)),
        None => Ok(()),
    }
}

/// 0 is "not given"; below is wrong.
pub(super) fn positive(number: i64, field: &str) -> Result<Option<u64>, Refusal> {
    match u64::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Refusal::invalid(format!("invalid value for {field}: {number}"))),
    }
}

fn read_rates(devices: &mut Vec<wire::ThrottleDevice>) -> Vec<ThrottleDevice> {
    let devices = std::mem::take(devices).into_iter();
    devices.map(|device| ThrottleDevice { path: device.path, rate: device.rate }).collect()
}

/// The wire's fields of the engine's limits.
pub(super) fn write(config: &mut wire::HostConfig, resources: &Resources) {
    config.memory = signed(resources.memory);
    config.memory_swap = resources.memory_swap.unwrap_or(0);
    config.memory_reservation = signed(resources.memory_reservation);
    config.memory_swappiness = resources.memory_swappiness.map(|percent| signed(Some(percent)));
    config.oom_kill_disable = Some(resources.oom_kill_disable);
    config.nano_cpus = signed(resources.nano_cpus);
    config.cpu_shares = signed(resources.cpu_shares);
    config.cpu_quota = resources.cpu_quota.unwrap_or(0);
    config.cpu_period = signed(resources.cpu_period);
    config.cpuset_cpus = resources.cpuset_cpus.clone().unwrap_or_default();
    config.cpuset_mems = resources.cpuset_mems.clone().unwrap_or_default();
    config.pids_limit = resources.pids_limit;
    config.blkio_weight = resources.blkio_weight.unwrap_or(0);
    config.blkio_weight_device = resources
        .blkio_weight_devices
        .iter()
        .map(|device| wire::WeightDevice { path: device.path.clone(), weight: device.weight })
        .collect();
    config.blkio_device_read_bps = write_rates(&resources.read_bytes);
    config.blkio_device_write_bps = write_rates(&resources.write_bytes);
    config.blkio_device_read_iops = write_rates(&resources.read_operations);
    config.blkio_device_write_iops = write_rates(&resources.write_operations);
    config.ulimits = resources
        .ulimits
        .iter()
        .map(|limit| wire::Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard })
        .collect();
    config.devices = resources
        .devices
        .iter()
        .map(|device| wire::DeviceMapping {
            path_on_host: device.host.clone(),
            path_in_container: device.container.clone(),
            cgroup_permissions: device.permissions.clone(),
        })
        .collect();
    config.device_cgroup_rules.clone_from(&resources.device_cgroup_rules);
}

/// The wire's numbers are signed.
pub(crate) fn signed(number: Option<u64>) -> i64 {
    number.map_or(0, |number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn write_rates(devices: &[ThrottleDevice]) -> Vec<wire::ThrottleDevice> {
    let devices = devices.iter();
    devices
        .map(|device| wire::ThrottleDevice { path: device.path.clone(), rate: device.rate })
        .collect()
}
