//! Whole commands: run, exec, ps, many at once.

use super::measure::{Subject, at_once, interleaved};
use super::table::{Bound, Row, Table};
use super::world::World;
use crate::Result;

const RUNS: usize = 20;
const MANY: usize = 50;
const WIDTH: usize = 8;

pub(super) fn rows(world: &World, table: &mut Table) -> Result<()> {
    run(world, table)?;
    docker_cli(world, table)?;
    exec(world, table)?;
    ps(world, table)?;
    many(world, table)
}

fn run(world: &World, table: &mut Table) -> Result<()> {
    let name = "run --rm of true, bridge network";
    if !table.wants(name) {
        return Ok(());
    }
    let arguments = ["run", "--rm", "busybox", "true"];
    let subjects = [
        Subject::new("brig", |_| world.brig.command(&arguments)),
        Subject::new("docker", |_| world.docker(&arguments)),
        Subject::new("podman", |_| {
            let limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=1000:1000"];
            world.podman(&[&["run", "--rm"], &limits[..], &["busybox", "true"]].concat())
        }),
    ];
    let figures = interleaved(&subjects, RUNS)?;
    table.add(&Row {
        name,
        unit: "ms",
        ours: figures[0].ok_or("brig run failed")?,
        peers: vec![("docker", figures[1]), ("podman", figures[2])],
        bounds: vec![Bound::Ratio("docker", 0.06)],
        aim: Some(8.0),
    });
    Ok(())
}

fn docker_cli(world: &World, table: &mut Table) -> Result<()> {
    let name = "docker run --rm of true, docker CLI against brig";
    if !table.wants(name) {
        return Ok(());
    }
    let arguments = ["run", "--rm", "busybox", "true"];
    let subjects = [
        Subject::new("brig", |_| world.docker_on_brig(&arguments)),
        Subject::new("dockerd", |_| world.docker(&arguments)),
        Subject::new("CLI start", |_| world.docker_on_brig(&["version"])),
    ];
    let figures = interleaved(&subjects, RUNS)?;
    table.add(&Row {
        name,
        unit: "ms",
        ours: figures[0].ok_or("docker run against brig failed")?,
        peers: vec![("dockerd", figures[1]), ("CLI start", figures[2])],
        bounds: vec![Bound::Ratio("dockerd", 0.25)],
        aim: figures[2].map(|start| (start + 10.0).round()),
    });
    Ok(())
}

fn exec(world: &World, table: &mut Table) -> Result<()> {
    let name = "exec of true";
    if !table.wants(name) {
        return Ok(());
    }
    let sleep = ["run", "-d", "--name", "bench-exec", "busybox", "sleep", "600"];
    drop(world.brig.ok(&sleep));
    stdx::process::output(&mut world.docker(&sleep))?;
    let arguments = ["exec", "bench-exec", "true"];
    let subjects = [
        Subject::new("brig", |_| world.brig.command(&arguments)),
        Subject::new("docker", |_| world.docker(&arguments)),
    ];
    let figures = interleaved(&subjects, RUNS)?;
    drop(world.brig.ok(&["rm", "-f", "bench-exec"]));
    stdx::process::output(&mut world.docker(&["rm", "-f", "bench-exec"]))?;
    table.add(&Row {
        name,
        unit: "ms",
        ours: figures[0].ok_or("brig exec failed")?,
        peers: vec![("docker", figures[1])],
        bounds: vec![Bound::Ratio("docker", 0.12)],
        aim: Some(4.0),
    });
    Ok(())
}

fn ps(world: &World, table: &mut Table) -> Result<()> {
    let name = "ps with 100 running";
    if !table.wants(name) {
        return Ok(());
    }
    let names: Vec<String> = (0..100).map(|number| format!("bench-ps-{number}")).collect();
    let start = |number: usize| ["run", "-d", "--name", &names[number], "busybox", "sleep", "600"];
    at_once(100, WIDTH, &|number| world.brig.command(&start(number)))?;
    at_once(100, WIDTH, &|number| world.docker(&start(number)))?;
    let subjects = [
        Subject::new("brig", |_| world.brig.command(&["ps"])),
        Subject::new("docker", |_| world.docker(&["ps"])),
    ];
    let figures = interleaved(&subjects, RUNS)?;
    at_once(100, WIDTH, &|number| world.brig.command(&["rm", "-f", &names[number]]))?;
    at_once(100, WIDTH, &|number| world.docker(&["rm", "-f", &names[number]]))?;
    table.add(&Row {
        name,
        unit: "ms",
        ours: figures[0].ok_or("brig ps failed")?,
        peers: vec![("docker", figures[1])],
        bounds: vec![Bound::Ratio("docker", 0.3)],
        aim: Some(3.0),
    });
    Ok(())
}

fn many(world: &World, table: &mut Table) -> Result<()> {
    let name = "50 containers, 8 at a time";
    if !table.wants(name) {
        return Ok(());
    }
    let names: Vec<String> = (0..MANY).map(|number| format!("bench-many-{number}")).collect();
    let start = |number: usize| ["run", "-d", "--name", &names[number], "busybox", "sleep", "600"];
    let remove = |number: usize| ["rm", "-f", &names[number]];
    let ours_started = at_once(MANY, WIDTH, &|number| world.brig.command(&start(number)))?;
    let ours_removed = at_once(MANY, WIDTH, &|number| world.brig.command(&remove(number)))?;
    let docker_started = at_once(MANY, WIDTH, &|number| world.docker(&start(number)))?;
    let docker_removed = at_once(MANY, WIDTH, &|number| world.docker(&remove(number)))?;
    table.add(&Row {
        name: "50 containers, 8 at a time: started",
        unit: "s",
        ours: ours_started,
        peers: vec![("docker", Some(docker_started))],
        bounds: vec![Bound::Ratio("docker", 0.1)],
        aim: Some(0.3),
    });
    table.add(&Row {
        name: "50 containers, 8 at a time: removed",
        unit: "s",
        ours: ours_removed,
        peers: vec![("docker", Some(docker_removed))],
        bounds: vec![Bound::Ratio("docker", 0.1)],
        aim: Some(0.1),
    });
    Ok(())
}
