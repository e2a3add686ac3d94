//! The OCI command line: one short process from a bundle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::measure::{Subject, interleaved};
use super::table::{Bound, Row, Table};
use super::world::World;
use crate::Result;

const RUNS: usize = 60;

/// Where the runtimes keep their state: on a tmpfs, as `/run` is.
const STATE: &str = "/run/brig-bench";

pub(super) fn rows(world: &World, table: &mut Table) -> Result<()> {
    let plain = "runtime run of true, all namespaces and cgroups";
    let filtered = "runtime run of true, Docker's seccomp profile";
    if !table.wants(plain) && !table.wants(filtered) {
        return Ok(());
    }
    // In the bench's own mount namespace.
    fs::create_dir_all(STATE)?;
    let mut mount = stdx::process::command("mount");
    stdx::process::output(mount.args(["-t", "tmpfs", "brig-bench", STATE]))?;
    if table.wants(plain) {
        let bundle = bundle(world, "plain", None)?;
        let bounds = [Bound::Ratio("runc", 0.25), Bound::Ratio("crun", 0.7)];
        row(world, table, plain, &bundle, (&bounds, 2.0))?;
    }
    if table.wants(filtered) {
        let bundle = bundle(world, "seccomp", Some(docker_profile(world)?))?;
        let bounds = [Bound::Ratio("runc", 0.10), Bound::Ratio("crun", 0.6)];
        row(world, table, filtered, &bundle, (&bounds, 2.2))?;
    }
    remove_parent_groups()
}

/// The groups that all containers of the bench lay in, as an engine's do: runtimes leave them.
fn remove_parent_groups() -> Result<()> {
    for hierarchy in fs::read_dir("/sys/fs/cgroup")? {
        let group = hierarchy?.path().join("brig-bench");
        if group.exists() {
            fs::remove_dir(group)?;
        }
    }
    Ok(())
}

fn row(
    world: &World,
    table: &mut Table,
    name: &'static str,
    bundle: &Path,
    (bounds, aim): (&[Bound], f64),
) -> Result<()> {
    let crun = super::crun::program()?;
    let brig = |round: usize| {
        let mut command = stdx::process::command(world.brig.program());
        command.arg("runtime");
        runtime(command, "brig", bundle, round)
    };
    let subjects = [
        Subject::new("brig", brig),
        Subject::new("runc", |round| {
            runtime(stdx::process::command("runc"), "runc", bundle, round)
        }),
        Subject::new("crun", |round| runtime(stdx::process::command(&crun), "crun", bundle, round)),
    ];
    let figures = interleaved(&subjects, RUNS)?;
    table.add(&Row {
        name,
        unit: "ms",
        ours: figures[0].ok_or("brig runtime run failed")?,
        peers: vec![("runc", figures[1]), ("crun", figures[2])],
        bounds: bounds.to_vec(),
        aim: Some(aim),
    });
    Ok(())
}

fn runtime(mut command: Command, program: &str, bundle: &Path, round: usize) -> Command {
    command.arg("--root").arg(Path::new(STATE).join(program));
    command.args(["run", "-b"]).arg(bundle).arg(format!("bench-{program}-{round}"));
    command
}

/// A bundle as `runc spec` makes it, with busybox as its root, no terminal, an absolute cgroup.
fn bundle(world: &World, name: &str, seccomp: Option<Value>) -> Result<PathBuf> {
    let bundle = world.directory.path().join(name);
    fs::create_dir_all(bundle.join("rootfs"))?;
    testkit::image::busybox_root(&bundle.join("rootfs"));
    stdx::process::output(stdx::process::command("runc").args(["spec", "-b"]).arg(&bundle))?;
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/true"]);
    config["process"]["rlimits"] = json!([]);
    config["linux"]["cgroupsPath"] = json!(format!("/brig-bench/{name}"));
    if let Some(seccomp) = seccomp {
        config["linux"]["seccomp"] = seccomp;
    }
    fs::write(path, serde_json::to_vec(&config)?)?;
    Ok(bundle)
}

/// The filter of a default container as Docker's profile of today decides it, which brig follows:
/// Debian's dockerd is years older and has a hundred names fewer.
fn docker_profile(world: &World) -> Result<Value> {
    let id = world.brig.ok(&["run", "-d", "busybox", "sleep", "600"]);
    let record = world.brig.root().join("run/containers").join(&id).join("monitor.json");
    let record: Value = serde_json::from_slice(&fs::read(record)?)?;
    drop(world.brig.ok(&["rm", "-f", &id]));
    Ok(record["seccomp"].clone())
}
