//! The processes of a container, from its control group and `/proc`.

use std::collections::HashMap;
use std::fs;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use linux::cgroup::{Group, Layout};

use super::{Containers, end, not_running};
use crate::container::ProcessTable;
use crate::container::process_table::{Column, ProcessFacts, Surroundings, columns, parse_stat};
use crate::error::Result;
use crate::event::Action;
use crate::rooms;

impl Containers {
    /// Its processes, as ps(1) with these arguments (`-ef` when empty) shows them.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `Unsupported` for arguments that are not understood.
    pub async fn top(&self, name: &str, arguments: &str) -> Result<ProcessTable> {
        let container = self.shared.table.find(name)?;
        let columns = columns(arguments)?;
        if container.live().is_none() {
            return Err(not_running(&container));
        }
        let path = end::cgroup_path(&self.shared.rooms, &container);
        let id = container.id.clone();
        let table = self
            .shared
            .rooms
            .blocking("list processes", move |_| {
                let group = Layout::detect()
                    .and_then(|layout| Group::open(layout, &path))
                    .map_err(|error| rooms::kernel("find the processes of", &id, error))?;
                let processes = group
                    .processes()
                    .map_err(|error| rooms::kernel("find the processes of", &id, error))?;
                let pids = processes
                    .into_iter()
                    .filter_map(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
                Ok(table(&columns, pids))
            })
            .await?;
        self.shared.publish(&container, Action::Top, &[]);
        Ok(table)
    }
}

fn table(columns: &[Column], pids: impl Iterator<Item = u32>) -> ProcessTable {
    let surroundings = surroundings();
    let mut processes: Vec<ProcessFacts> = pids.filter_map(process).collect();
    processes.sort_by_key(|process| process.pid);
    let row = |process: &ProcessFacts| {
        columns.iter().map(|column| (column.cell)(process, &surroundings)).collect()
    };
    ProcessTable {
        titles: columns.iter().map(|column| column.title.to_owned()).collect(),
        rows: processes.iter().map(row).collect(),
    }
}

/// One process; `None` when it has ended meanwhile.
fn process(pid: u32) -> Option<ProcessFacts> {
    let mut process = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // The second number is the effective id.
    let id = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    process.uid = id("Uid:").unwrap_or(0);
    process.gid = id("Gid:").unwrap_or(0);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = arguments
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    process.arguments =
        if words.is_empty() { format!("[{}]", process.command) } else { words.join(" ") };
    Some(process)
}

fn surroundings() -> Surroundings {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let names: HashMap<u32, String> = users
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((fields.nth(1)?.parse().ok()?, name))
        })
        .collect();
    let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    Surroundings {
        now: Timestamp::now(),
        boot: boot.and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default(),
        zone: TimeZone::system(),
        memory: crate::system::memory(),
        users: names,
    }
}
