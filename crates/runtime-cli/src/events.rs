//! `events`: what a container uses, again and again, and when its memory runs out.

use std::os::fd::AsFd;
use std::time::Duration;

use linux::cgroup::{BlockIoEntry, Group, Usage};
use linux::event::{Epoll, Interest, TimerFd};
use runtime::state::process_of;
use serde_json::{Value, json};

use crate::arguments::{Flag, Parsed};
use crate::control::group_of;
use crate::log::print;
use crate::{Call, Failure};

const PROCESS: u64 = 0;
const TIMER: u64 = 1;
const MEMORY: u64 = 2;

/// `events [--interval TIME] [--stats] ID`: one line of JSON each; until the container ends.
pub(crate) fn events(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let flags = [Flag::value("interval", None), Flag::switch("stats", None)];
    let parsed = Parsed::read(words, &flags)?;
    let interval = interval(parsed.value("interval").unwrap_or("5s"))?;
    let record = call.states.load(parsed.only_id()?)?;
    let id = &record.state.id;
    let process = process_of(&record)?
        .ok_or_else(|| Failure::from(format!("container with id {id} is not running")))?;
    let group = group_of(&record)?;
    if parsed.has("stats") {
        return tell_usage(id, &group);
    }
    let epoll = Epoll::new()?;
    let timer = TimerFd::new()?;
    let mut memory = group.oom_events()?;
    epoll.add(process.as_fd(), PROCESS, Interest::IN)?;
    epoll.add(timer.as_fd(), TIMER, Interest::IN)?;
    epoll.add(memory.as_fd(), MEMORY, Interest::IN)?;
    timer.set(Some(interval))?;
    let mut told = memory.count();
    let tell_oom = || print(&format!("{}\n", json!({"type": "oom", "id": id})));
    let mut ready = Vec::new();
    loop {
        epoll.wait(None, &mut ready)?;
        for event in &ready {
            match event.key {
                PROCESS => {
                    // The end may be heard of before its reason.
                    return Ok(if memory.count() > told { tell_oom() } else { 0 });
                }
                MEMORY => {
                    let kills = memory.kills();
                    // It may come before it is counted.
                    if kills > told || memory.wakes_for_kills_only() {
                        told = kills.max(told + 1);
                        tell_oom();
                    }
                }
                _ if timer.take() => {
                    timer.set(Some(interval))?;
                    tell_usage(id, &group)?;
                }
                _ => {}
            }
        }
    }
}

/// As Go's `time.ParseDuration` reads it, or a number of seconds.
fn interval(text: &str) -> Result<Duration, Failure> {
    let wrong = || Failure::from(format!("--interval: {text:?} is not a time greater than zero"));
    let parsed = match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let span: Result<jiff::SignedDuration, _> = text.parse();
            span.ok().and_then(|span| Duration::try_from(span).ok())
        }
    };
    parsed.filter(|interval| !interval.is_zero()).ok_or_else(wrong)
}

fn tell_usage(id: &str, group: &Group) -> Result<u8, Failure> {
    let usage = group.usage()?;
    let event = json!({"type": "stats", "id": id, "data": data(&usage)});
    Ok(print(&format!("{event}\n")))
}

/// In the shape of runc, of which what is not measured here is left out.
fn data(usage: &Usage) -> Value {
    let Usage { cpu, memory, pids, block_io } = usage;
    let mut shown = json!({
        "cpu": {
            "usage": {
                "total": cpu.total, "percpu": cpu.per_cpu, "user": cpu.user, "kernel": cpu.system,
            },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_time,
            },
        },
        "memory": {
            "cache": memory.stat.get(if memory.unified { "file" } else { "cache" }),
            "usage": {
                "limit": memory.limit.unwrap_or(u64::MAX),
                "usage": memory.usage,
                "max": memory.max_usage.unwrap_or(0),
                "failcnt": memory.failures,
            },
            "swap": {"usage": memory.swap.unwrap_or(0)},
            "raw": memory.stat,
        },
        "pids": {"current": pids.current},
        "blkio": {
            "ioServiceBytesRecursive": entries(&block_io.bytes),
            "ioServicedRecursive": entries(&block_io.operations),
        },
    });
    if let Some(limit) = pids.limit {
        shown["pids"]["limit"] = limit.into();
    }
    shown
}

fn entries(all: &[BlockIoEntry]) -> Vec<Value> {
    let entry = |entry: &BlockIoEntry| {
        let BlockIoEntry { major, minor, operation, value } = entry;
        let mut name = operation.clone();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        json!({"major": major, "minor": minor, "op": name, "value": value})
    };
    all.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::{data, interval};
    use std::time::Duration;

    #[test]
    fn intervals() {
        assert_eq!(interval("1m30s").ok(), Some(Duration::from_secs(90)));
        assert_eq!(interval("200ms").ok(), Some(Duration::from_millis(200)));
        assert_eq!(interval("3").ok(), Some(Duration::from_secs(3)));
        for wrong in ["0", "-1s", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_shown_where_there_is_one() {
        let mut usage = linux::cgroup::Usage::default();
        assert!(data(&usage)["pids"].get("limit").is_none());
        usage.pids.limit = Some(7);
        assert_eq!(data(&usage)["pids"]["limit"], 7);
    }
}
