//! `process.scheduler`, `ioPriority` and `execCPUAffinity`, and what of `linux` is about the same:
//! `personality` and `memoryPolicy`.

use linux::scheduling::Policy;
use oci::runtime::{CpuAffinity, IoPriority, LinuxPersonality, MemoryPolicy, Scheduler};

use crate::Error;
use crate::request::Confinement;

/// How the program is run by the kernel, and where.
#[derive(Debug, Default)]
pub(crate) struct SchedulingPlan {
    /// How it gets its time.
    pub policy: Option<Policy>,
    /// Class and level of its input and output.
    pub io_priority: Option<(u32, u32)>,
    /// Execution domain (personality(2)).
    pub personality: Option<u32>,
    /// Mode with flags, and nodes, of its memory.
    pub memory: Option<(u32, Vec<usize>)>,
}

/// Processors of a further process of a container.
#[derive(Debug, Default)]
pub(crate) struct AffinityPlan {
    /// Until it is in the container's control group.
    pub initial: Option<Vec<usize>>,
    /// From then on.
    pub last: Option<Vec<usize>>,
}

impl SchedulingPlan {
    /// Checks and converts.
    pub(super) fn of(
        process: &oci::runtime::Process,
        confinement: &Confinement<'_>,
    ) -> Result<Self, Error> {
        Ok(Self {
            policy: process.scheduler.as_ref().map(policy).transpose()?,
            io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
            personality: confinement.personality.map(personality).transpose()?,
            memory: confinement.memory_policy.map(memory).transpose()?,
        })
    }
}

impl AffinityPlan {
    /// Checks and converts.
    pub(super) fn of(affinity: Option<&CpuAffinity>) -> Result<Self, Error> {
        let read = |list: &Option<String>| match list.as_deref().filter(|list| !list.is_empty()) {
            Some(list) => numbers("process.execCPUAffinity", list).map(Some),
            None => Ok(None),
        };
        let Some(affinity) = affinity else { return Ok(Self::default()) };
        Ok(Self { initial: read(&affinity.initial)?, last: read(&affinity.last)? })
    }
}

/// What a policy has no use for is an error, as the kernel would pass over it.
fn policy(scheduler: &Scheduler) -> Result<Policy, Error> {
    let fail = |reason: String| Err(Error::invalid("process.scheduler", reason));
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => Policy::OTHER,
        "SCHED_FIFO" => Policy::FIFO,
        "SCHED_RR" => Policy::ROUND_ROBIN,
        "SCHED_BATCH" => Policy::BATCH,
        "SCHED_ISO" => Policy::ISOCHRONOUS,
        "SCHED_IDLE" => Policy::IDLE,
        "SCHED_DEADLINE" => Policy::DEADLINE,
        other => return fail(format!("policy {other:?} is unknown")),
    };
    let is_fair = matches!(policy, Policy::OTHER | Policy::BATCH);
    let is_realtime = matches!(policy, Policy::FIFO | Policy::ROUND_ROBIN);
    let times = [scheduler.runtime, scheduler.deadline, scheduler.period];
    if !(-20..=19).contains(&scheduler.nice) {
        return fail(format!("nice {} is not from -20 to 19", scheduler.nice));
    }
    for (is_wrong, member) in [
        (scheduler.nice != 0 && !is_fair, "nice"),
        (scheduler.priority != 0 && !is_realtime, "priority"),
        (times != [0; 3] && policy != Policy::DEADLINE, "runtime, deadline or period"),
    ] {
        if is_wrong {
            return fail(format!("{} has no {member}", scheduler.policy));
        }
    }
    let Ok(priority) = u32::try_from(scheduler.priority) else {
        return fail(format!("priority {} is negative", scheduler.priority));
    };
    let [runtime, deadline, period] = times;
    let flags = policy_flags(&scheduler.flags)?;
    Ok(Policy { policy, flags, nice: scheduler.nice, priority, runtime, deadline, period })
}

fn policy_flags(names: &[String]) -> Result<u64, Error> {
    names.iter().try_fold(0, |flags, name| {
        let flag = match name.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => {
                let reason = format!("flag {other:?} is unknown");
                return Err(Error::invalid("process.scheduler", reason));
            }
        };
        Ok(flags | flag)
    })
}

fn io_priority(priority: &IoPriority) -> Result<(u32, u32), Error> {
    let fail = |reason: String| Err(Error::invalid("process.ioPriority", reason));
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return fail(format!("class {other:?} is unknown")),
    };
    match u32::try_from(priority.priority) {
        Ok(level) if level < 8 => Ok((class, level)),
        _ => fail(format!("priority {} is not from 0 to 7", priority.priority)),
    }
}

fn personality(personality: &LinuxPersonality) -> Result<u32, Error> {
    let fail = |reason: String| Err(Error::invalid("linux.personality", reason));
    if let Some(flag) = personality.flags.first() {
        return fail(format!("flag {flag:?}: the specification has none"));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => fail(format!("domain {other:?} is unknown")),
    }
}

/// By the kernel's number (linux/mempolicy.h).
pub const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// By the kernel's bit, from 13 on.
pub const MEMORY_FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

fn memory(policy: &MemoryPolicy) -> Result<(u32, Vec<usize>), Error> {
    const MEMBER: &str = "linux.memoryPolicy";
    let mode = MEMORY_MODES.iter().position(|name| *name == policy.mode);
    let mode = mode
        .and_then(|mode| u32::try_from(mode).ok())
        .ok_or_else(|| Error::invalid(MEMBER, format!("mode {:?} is unknown", policy.mode)))?;
    let flags = policy.flags.iter().try_fold(0, |flags, name| {
        let place = MEMORY_FLAGS.iter().zip(13..).find(|(known, _)| *known == name);
        match place {
            Some((_, bit)) => Ok(flags | 1 << bit),
            None => Err(Error::invalid(MEMBER, format!("flag {name:?} is unknown"))),
        }
    })?;
    let nodes = policy.nodes.as_str();
    let nodes = if nodes.is_empty() { Vec::new() } else { numbers(MEMBER, nodes)? };
    Ok((mode | flags, nodes))
}

/// More than any kernel has processors or memory nodes.
const MOST: usize = 1 << 13;

/// A list as cpuset(7) has it: `0-3,7`.
fn numbers(member: &str, list: &str) -> Result<Vec<usize>, Error> {
    let fail = || Error::invalid(member, format!("{list:?} is not a list such as 0-3,7"));
    let number =
        |text: &str| text.parse::<usize>().ok().filter(|number| *number < MOST).ok_or_else(fail);
    let mut all = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(fail());
        }
        all.extend(first..=last);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use linux::scheduling::Policy;
    use oci::runtime::{IoPriority, LinuxPersonality, MemoryPolicy, Scheduler};

    use super::{io_priority, memory, numbers, personality, policy};

    fn scheduler(text: &str) -> Option<Policy> {
        policy(&serde_json::from_str::<Scheduler>(text).unwrap()).ok()
    }

    #[test]
    fn policies_have_what_they_can_use() {
        let batch = scheduler(r#"{"policy":"SCHED_BATCH","nice":7}"#).unwrap();
        assert_eq!((batch.policy, batch.nice), (Policy::BATCH, 7));
        let flags = r#"{"policy":"SCHED_FIFO","priority":3,"flags":["SCHED_FLAG_RESET_ON_FORK"]}"#;
        assert_eq!(scheduler(flags).unwrap().flags, 1);
        for wrong in [
            r#"{"policy":"SCHED_DREAM"}"#,
            r#"{"policy":"SCHED_OTHER","nice":20}"#,
            r#"{"policy":"SCHED_OTHER","priority":1}"#,
            r#"{"policy":"SCHED_FIFO","nice":1}"#,
            r#"{"policy":"SCHED_FIFO","priority":-1}"#,
            r#"{"policy":"SCHED_RR","period":1}"#,
            r#"{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_X"]}"#,
        ] {
            assert_eq!(scheduler(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("x", "0-3,7,2").unwrap(), [0, 1, 2, 3, 7]);
        for wrong in ["", "a", "3-1", "1,", "-1", "0-99999999999", "1-2-3"] {
            assert!(numbers("x", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_that_are_none() {
        let priority = |class: &str, priority| {
            io_priority(&IoPriority { class: class.to_owned(), priority }).ok()
        };
        assert_eq!(priority("IOPRIO_CLASS_BE", 7), Some((2, 7)));
        assert_eq!(priority("IOPRIO_CLASS_BE", 8), None);
        assert_eq!(priority("IOPRIO_CLASS_NONE", 0), None);
        let domain = |domain: &str| {
            personality(&LinuxPersonality { domain: domain.to_owned(), ..<_>::default() }).ok()
        };
        assert_eq!((domain("LINUX32"), domain("BSD")), (Some(8), None));
        let mode = |mode: &str, flag: &str| {
            let (mode, flags) = (mode.to_owned(), vec![flag.to_owned()]);
            memory(&MemoryPolicy { mode, nodes: "0".to_owned(), flags }).ok()
        };
        assert_eq!(mode("MPOL_BIND", "MPOL_F_STATIC_NODES"), Some((2 | 1 << 15, vec![0])));
        assert_eq!(mode("MPOL_BIND", "MPOL_F_X"), None);
        assert_eq!(mode("MPOL_X", "MPOL_F_STATIC_NODES"), None);
    }
}
