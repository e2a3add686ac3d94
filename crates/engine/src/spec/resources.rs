//! Limits, in the words of the OCI specification.

use oci::runtime::{
    BlockIo, BlockIoWeightDevice, Cpu, Memory, Pids, Resources as Limits, ThrottleDevice as Rate,
};

use super::{Inputs, devices};
use crate::container::{Resources, ThrottleDevice};
use crate::error::{Error, Result};

/// Microseconds of the period in which a number of processors is given out.
const PERIOD: u64 = 100_000;

pub(super) fn resources(inputs: &Inputs<'_>) -> Result<Limits> {
    let wanted = &inputs.spec.host.resources;
    let privileged = inputs.spec.host.security.privileged;
    let pids =
        wanted.pids_limit.filter(|limit| *limit > 0).map(|limit| Pids { limit: Some(limit) });
    Ok(Limits {
        devices: devices::rules(privileged, inputs.devices, &wanted.device_cgroup_rules)?,
        memory: memory(wanted)?,
        cpu: cpu(wanted)?,
        pids,
        block_io: block_io(inputs)?,
        ..Limits::default()
    })
}

fn signed(value: u64, what: &str) -> Result<i64> {
    i64::try_from(value)
        .map_err(|_| Error::Invalid(format!("invalid {what}: {value} is too large")))
}

fn memory(wanted: &Resources) -> Result<Option<Memory>> {
    let positive = |value: Option<u64>| value.filter(|value| *value > 0);
    let limit = positive(wanted.memory).map(|bytes| signed(bytes, "memory limit")).transpose()?;
    let reservation = positive(wanted.memory_reservation)
        .map(|bytes| signed(bytes, "memory reservation"))
        .transpose()?;
    let swap = match (wanted.memory_swap.filter(|swap| *swap != 0), limit) {
        (Some(swap), _) => Some(swap),
        (None, Some(limit)) => Some(limit.saturating_mul(2)),
        (None, None) => None,
    };
    let memory = Memory {
        limit,
        reservation,
        swap,
        swappiness: wanted.memory_swappiness,
        disable_oom_killer: wanted.oom_kill_disable.then_some(true),
        ..Memory::default()
    };
    Ok((memory != Memory::default()).then_some(memory))
}

fn cpu(wanted: &Resources) -> Result<Option<Cpu>> {
    let (quota, period) = match wanted.nano_cpus.filter(|nano| *nano > 0) {
        Some(nano) => {
            let quota = nano / (1_000_000_000 / PERIOD);
            (Some(signed(quota, "number of CPUs")?), Some(PERIOD))
        }
        None => (
            wanted.cpu_quota.filter(|quota| *quota != 0),
            wanted.cpu_period.filter(|period| *period > 0),
        ),
    };
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let cpu = Cpu {
        shares: wanted.cpu_shares.filter(|shares| *shares > 0),
        quota,
        period,
        cpus: given(&wanted.cpuset_cpus),
        mems: given(&wanted.cpuset_mems),
        ..Cpu::default()
    };
    Ok((cpu != Cpu::default()).then_some(cpu))
}

fn block_io(inputs: &Inputs<'_>) -> Result<Option<BlockIo>> {
    let wanted = &inputs.spec.host.resources;
    let find = |path: &str| {
        inputs
            .block_devices
            .get(path)
            .copied()
            .ok_or_else(|| Error::Invalid(format!("{path} is no block device")))
    };
    let rates = |devices: &[ThrottleDevice]| {
        devices
            .iter()
            .map(|device| {
                let (major, minor) = find(&device.path)?;
                Ok(Rate { major: major.into(), minor: minor.into(), rate: device.rate })
            })
            .collect::<Result<Vec<Rate>>>()
    };
    let mut weights = Vec::new();
    for device in &wanted.blkio_weight_devices {
        let (major, minor) = find(&device.path)?;
        let weight = Some(device.weight);
        let (major, minor) = (major.into(), minor.into());
        weights.push(BlockIoWeightDevice { major, minor, weight, leaf_weight: None });
    }
    let block_io = BlockIo {
        weight: wanted.blkio_weight.filter(|weight| *weight > 0),
        leaf_weight: None,
        weight_device: weights,
        throttle_read_bps_device: rates(&wanted.read_bytes)?,
        throttle_write_bps_device: rates(&wanted.write_bytes)?,
        throttle_read_iops_device: rates(&wanted.read_operations)?,
        throttle_write_iops_device: rates(&wanted.write_operations)?,
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}
