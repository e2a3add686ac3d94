//! What idle containers cost: memory of all our processes, and wake-ups of the daemon.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use super::measure::at_once;
use super::table::{Bound, Row, Table};
use super::world::World;
use crate::Result;

const CONTAINERS: usize = 50;
const WATCHED: Duration = Duration::from_secs(10);
/// After which the daemon is idle: threads for blocking work end when they had none for 10 s.
const SETTLING: Duration = Duration::from_secs(12);

pub(super) fn rows(world: &World, table: &mut Table) -> Result<()> {
    let name = "memory: marginal PSS of an idle container";
    if !table.wants(name) {
        return Ok(());
    }
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("bench-idle-{number}")).collect();
    let start = |number: usize| ["run", "-d", "--name", &names[number], "busybox", "sleep", "600"];
    let brig = world.brig.daemon_id().ok_or("no daemon runs")?;
    let docker = [world.dockerd.id(), world.containerd.id()];
    let before = (ours(brig)?, pss_of(&tree(&docker)?)?);
    at_once(CONTAINERS, 8, &|number| world.brig.command(&start(number)))?;
    at_once(CONTAINERS, 8, &|number| world.docker(&start(number)))?;
    let after = (ours(brig)?, docker_with_shims(&docker)?);
    let daemon = pss(brig)?;
    let wakeups = wakeups_per_second(brig)?;
    at_once(CONTAINERS, 8, &|number| world.brig.command(&["rm", "-f", &names[number]]))?;
    at_once(CONTAINERS, 8, &|number| world.docker(&["rm", "-f", &names[number]]))?;
    let marginal = |before: f64, after: f64| (after - before) / 50.0;
    table.add(&Row {
        name,
        unit: "MiB",
        ours: marginal(before.0, after.0),
        peers: vec![("docker", Some(marginal(before.1, after.1)))],
        bounds: vec![Bound::Absolute(0.5)],
        aim: Some(0.25),
    });
    table.add(&Row {
        name: "memory: daemon with 50 idle containers",
        unit: "MiB",
        ours: daemon,
        peers: vec![("docker", Some(pss_of(&docker)?))],
        bounds: vec![Bound::Absolute(25.0)],
        aim: Some(12.0),
    });
    table.add(&Row {
        name: "wake-ups of the daemon with 50 idle containers",
        unit: "/s",
        ours: wakeups,
        peers: vec![],
        bounds: vec![Bound::Absolute(1.0)],
        aim: None,
    });
    Ok(())
}

/// The daemon, its launcher and the monitors: all processes of ours, without the workloads.
fn ours(daemon: u32) -> Result<f64> {
    let launcher = parent(daemon)?;
    let roots =
        if command_name(launcher).starts_with("brig") { vec![launcher] } else { vec![daemon] };
    let ours: Vec<u32> =
        tree(&roots)?.into_iter().filter(|id| command_name(*id).starts_with("brig")).collect();
    pss_of(&ours)
}

/// dockerd, containerd and the shims, which are nobody's children, without the workloads.
fn docker_with_shims(daemons: &[u32]) -> Result<f64> {
    let mut ids = daemons.to_vec();
    for id in process_ids()? {
        if command_name(id).starts_with("containerd-shim") {
            ids.push(id);
        }
    }
    pss_of(&ids)
}

fn pss_of(ids: &[u32]) -> Result<f64> {
    ids.iter().map(|id| pss(*id)).sum()
}

/// Proportional set size in MiB (proc(5), `smaps_rollup`); 0 for a process that has just ended.
fn pss(id: u32) -> Result<f64> {
    let Ok(text) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) else { return Ok(0.0) };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss line")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Of the threads that live through the whole watch: one that ends in between takes its count along.
fn wakeups_per_second(id: u32) -> Result<f64> {
    std::thread::park_timeout(SETTLING);
    let before = switches(id)?;
    std::thread::park_timeout(WATCHED);
    let after = switches(id)?;
    let gained = |(thread, count): (&u32, &u64)| before.get(thread).map(|before| count - before);
    let woken: u64 = after.iter().filter_map(gained).sum();
    let woken = u32::try_from(woken)?;
    Ok(f64::from(woken) / WATCHED.as_secs_f64())
}

/// Voluntary context switches of each thread so far: each is a sleep that something ended.
fn switches(id: u32) -> Result<HashMap<u32, u64>> {
    let mut counts = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let thread = thread?;
        // One that has ended since the directory was read.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.ok_or("no switches line")?.trim().parse()?;
        let number = thread.file_name().to_str().ok_or("a thread without number")?.parse()?;
        counts.insert(number, count);
    }
    Ok(counts)
}

fn process_ids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn command_name(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default().trim().to_owned()
}

fn parent(id: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let rest = stat.rsplit(')').next().ok_or("no name in stat")?;
    Ok(rest.split_whitespace().nth(1).ok_or("no parent in stat")?.parse()?)
}

/// The processes and all their descendants.
fn tree(roots: &[u32]) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for id in process_ids()? {
        if let Ok(parent) = parent(id) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = roots.to_vec();
    let mut next = 0;
    while let Some(id) = found.get(next) {
        found.extend(children.get(id).into_iter().flatten().copied().collect::<Vec<_>>());
        next += 1;
    }
    Ok(found)
}
