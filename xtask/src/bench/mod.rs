//! `cargo xtask bench`: brig beside runc, crun, podman and docker on this machine, in one run.
//!
//! Commands of the peers are interleaved with ours, so that a noisy machine is noisy for both, and
//! what is quoted is the ratio of medians. The whole run lives in network and mount namespaces of its
//! own: no firewall rule and no link of the host is touched, and no mount of a peer is left.

mod containers;
mod crun;
mod measure;
mod memory;
mod pull;
mod runtimes;
mod table;
mod world;

use crate::{Result, peers, release};
use table::Table;
use world::World;

/// Set when the bench runs inside its own network namespace already.
const INSIDE: &str = "--inside-namespace";

/// Runs every row whose name contains one of the words in `filter` (all rows without any).
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    peers::install()?;
    peers::install_packages(peers::BENCH_PACKAGES)?;
    // All are there already when the bench comes back in its namespace, which reaches no network.
    crun::program()?;
    release::build()?;
    let Some((INSIDE, filter)) = arguments.split_first().map(|(f, r)| (f.as_str(), r)) else {
        return enter_namespace(arguments);
    };
    let world = World::build()?;
    let mut table = Table::new(filter);
    runtimes::rows(&world, &mut table)?;
    containers::rows(&world, &mut table)?;
    memory::rows(&world, &mut table)?;
    pull::rows(&world, &mut table)?;
    table.summary();
    Ok(())
}

fn enter_namespace(arguments: &[String]) -> Result<()> {
    let status = stdx::process::command("unshare")
        .args(["--net", "--mount", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(std::env::current_exe()?)
        .args(["bench", INSIDE])
        .args(arguments)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("the bench ended with {status}").into()) }
}
