//! `update`: other limits for a container that exists.

use std::io::Read;

use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources, Status};
use runtime::systemd::Change;

use crate::arguments::{Flag, Parsed};
use crate::control::{conflict, group_of};
use crate::{Call, Failure};

const FLAGS: &[Flag] = &[
    Flag::value("resources", Some('r')),
    Flag::value("blkio-weight", None),
    Flag::value("cpu-period", None),
    Flag::value("cpu-quota", None),
    Flag::value("cpu-burst", None),
    Flag::value("cpu-share", None),
    Flag::value("cpu-rt-period", None),
    Flag::value("cpu-rt-runtime", None),
    Flag::value("cpu-idle", None),
    Flag::value("cpuset-cpus", None),
    Flag::value("cpuset-mems", None),
    Flag::value("memory", None),
    Flag::value("memory-reservation", None),
    Flag::value("memory-swap", None),
    Flag::value("kernel-memory", None),
    Flag::value("kernel-memory-tcp", None),
    Flag::value("pids-limit", None),
    Flag::value("l3-cache-schema", None),
    Flag::value("mem-bw-schema", None),
];

/// `update [-r FILE|-] [limits] ID`.
pub(crate) fn update(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, FLAGS)?;
    for flag in ["l3-cache-schema", "mem-bw-schema"] {
        if parsed.value(flag).is_some() {
            return Err(format!("--{flag}: Intel RDT is not supported").into());
        }
    }
    let record = call.states.load(parsed.only_id()?)?;
    let status = call.states.status(&record)?;
    if status == Status::Stopped {
        return Err(conflict("update", status));
    }
    let resources = match parsed.value("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(&parsed)?,
    };
    let group = group_of(&record)?;
    let unit = record.unit.as_deref().map(Change::begin).transpose()?;
    runtime::update(&group, &resources)?;
    unit.map_or(Ok(()), |unit| unit.tell(&group)).map_err(|error| {
        let error = stdx::chain(&error);
        Failure::from(format!("{error}; the limits hold until systemd reloads: update them again"))
    })?;
    Ok(0)
}

fn from_file(path: &str) -> Result<Resources, Failure> {
    let mut text = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut text),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text)),
    };
    read.map_err(|error| format!("read {path}: {error}"))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("parse {path}: {error}"))?)
}

fn from_flags(parsed: &Parsed) -> Result<Resources, Failure> {
    let signed = |name: &str| number::<i64>(parsed, name);
    let unsigned = |name: &str| number::<u64>(parsed, name);
    let list = |name: &str| parsed.value(name).map(str::to_owned);
    Ok(Resources {
        memory: Some(Memory {
            limit: bytes(parsed, "memory")?,
            reservation: bytes(parsed, "memory-reservation")?,
            swap: bytes(parsed, "memory-swap")?,
            kernel: bytes(parsed, "kernel-memory")?,
            kernel_tcp: bytes(parsed, "kernel-memory-tcp")?,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: unsigned("cpu-share")?,
            quota: signed("cpu-quota")?,
            burst: unsigned("cpu-burst")?,
            period: unsigned("cpu-period")?,
            realtime_runtime: signed("cpu-rt-runtime")?,
            realtime_period: unsigned("cpu-rt-period")?,
            cpus: list("cpuset-cpus"),
            mems: list("cpuset-mems"),
            idle: signed("cpu-idle")?,
        }),
        pids: Some(Pids { limit: signed("pids-limit")? }),
        block_io: Some(BlockIo { weight: number(parsed, "blkio-weight")?, ..BlockIo::default() }),
        ..Resources::default()
    })
}

fn number<N: std::str::FromStr>(parsed: &Parsed, name: &str) -> Result<Option<N>, Failure> {
    let read = |text: &str| {
        text.parse().map_err(|_| Failure::from(format!("--{name}: {text:?} is not a number")))
    };
    parsed.value(name).map(read).transpose()
}

/// Bytes, with a unit or without; -1 for no limit.
fn bytes(parsed: &Parsed, name: &str) -> Result<Option<i64>, Failure> {
    let read = |text: &str| {
        let bytes = match text {
            "-1" => Some(-1),
            _ => stdx::units::parse_bytes(text).and_then(|bytes| i64::try_from(bytes).ok()),
        };
        bytes.ok_or_else(|| Failure::from(format!("--{name}: {text:?} is not a size")))
    };
    parsed.value(name).map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, from_flags};
    use crate::arguments::Parsed;

    fn read(text: &str) -> Option<oci::runtime::Resources> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        from_flags(&Parsed::read(&words, FLAGS).unwrap()).ok()
    }

    #[test]
    fn what_is_not_named_is_not_set() {
        let resources = read("--memory 64m --memory-swap -1 --cpuset-cpus 0-1 x").unwrap();
        let memory = resources.memory.unwrap();
        assert_eq!(
            (memory.limit, memory.swap, memory.reservation),
            (Some(64 << 20), Some(-1), None)
        );
        assert_eq!(resources.cpu.unwrap().cpus.as_deref(), Some("0-1"));
        assert_eq!(resources.pids.unwrap().limit, None);
        for wrong in ["--memory much x", "--pids-limit 1.5 x", "--cpu-share -2 x"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
