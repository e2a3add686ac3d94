//! The OCI command line: short processes from a bundle, beside runc and crun.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::measure::{Subject, at_once, interleaved, phases, time};
use super::table::{Bound, Row, Table};
use super::world::World;
use crate::Result;

const RUNS: usize = 60;

/// Where the runtimes keep their state: on a tmpfs, as `/run` is.
const STATE: &str = "/run/brig-bench";

/// Containers at once.
const CROWD: usize = 200;

/// A quarter of runc's time and seven tenths of crun's: what most rows are held to.
const BOUNDS: [Bound; 2] = [Bound::Ratio("runc", 0.25), Bound::Ratio("crun", 0.7)];

/// Runs of a bundle to its end: the row's name, the most it may take, the aim in milliseconds, what
/// is changed in the configuration.
const BUNDLES: [(&str, [Bound; 2], Option<f64>, Change); 5] = [
    ("runtime run of true, all namespaces and cgroups", BOUNDS, Some(2.0), Change::Nothing),
    (
        "runtime run of true, Docker's seccomp profile",
        [Bound::Ratio("runc", 0.10), Bound::Ratio("crun", 0.6)],
        Some(2.2),
        Change::Seccomp,
    ),
    ("runtime run of true, no network namespace", BOUNDS, None, Change::NoNetwork),
    ("runtime run of true, 100 mounts", BOUNDS, None, Change::Mounts(100)),
    ("runtime run of true, 1,000 mounts", BOUNDS, None, Change::Mounts(1000)),
];

#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    Seccomp,
    NoNetwork,
    Mounts(usize),
}

pub(super) fn rows(world: &World, table: &mut Table) -> Result<()> {
    let others = ["runtime exec of true", "runtime create", "runtime start", "runtime delete"];
    let crowd = "200 containers of the runtime at once";
    let memory = "memory: most that the runtime takes to run a container";
    let names = BUNDLES.iter().map(|(name, ..)| *name).chain(others).chain([crowd, memory]);
    if !names.clone().any(|name| table.wants(name)) {
        return Ok(());
    }
    // In the bench's own mount namespace.
    fs::create_dir_all(STATE)?;
    let mut mount = stdx::process::command("mount");
    stdx::process::output(mount.args(["-t", "tmpfs", "brig-bench", STATE]))?;
    let runtimes = Runtimes::new(world)?;
    for (number, (name, bounds, aim, change)) in BUNDLES.into_iter().enumerate() {
        if table.wants(name) {
            let bundle = bundle(world, &format!("run-{number}"), change)?;
            if matches!(change, Change::Nothing) {
                println!("the kernel's own part of a container: {} ms", floor(&bundle, &[])?);
            }
            runtimes.run(table, name, &bundle, (&bounds, aim))?;
        }
    }
    if table.wants(others[0]) {
        let bundle = bundle(world, "exec", Change::Nothing)?;
        let (alone, command) = (floor(&bundle, &["exec"])?, floor(&bundle, &["command"])?);
        println!("the kernel's own part of an exec: {alone} ms, by a command: {command} ms");
        runtimes.exec(table, others[0], &bundle)?;
    }
    if others[1..].iter().any(|name| table.wants(name)) {
        runtimes.life(table, &others[1..], &bundle(world, "life", Change::Nothing)?)?;
    }
    if table.wants(crowd) {
        runtimes.crowd(table, crowd, &bundle(world, "crowd", Change::Nothing)?)?;
    }
    if table.wants(memory) {
        runtimes.memory(table, memory, &bundle(world, "memory", Change::Nothing)?)?;
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

/// Name and program of each.
struct Runtimes {
    all: [(&'static str, PathBuf); 3],
}

impl Runtimes {
    fn new(world: &World) -> Result<Self> {
        Ok(Self {
            all: [
                ("brig", world.runtime.clone()),
                ("runc", "runc".into()),
                ("crun", super::crun::program()?),
            ],
        })
    }

    fn command(&self, index: usize, words: &[&str]) -> Command {
        let (name, program) = &self.all[index];
        let mut command = stdx::process::command(program);
        command.arg("--root").arg(Path::new(STATE).join(name)).args(words);
        command
    }

    /// A row of figures, in this order.
    fn add(
        table: &mut Table,
        name: &'static str,
        unit: &'static str,
        figures: &[Option<f64>],
        (bounds, aim): (&[Bound], Option<f64>),
    ) -> Result<()> {
        table.add(&Row {
            name,
            unit,
            ours: figures[0].ok_or("brig runtime failed")?,
            peers: vec![("runc", figures[1]), ("crun", figures[2])],
            bounds: bounds.to_vec(),
            aim,
        });
        Ok(())
    }

    fn subjects<'a>(
        &'a self,
        command: impl Fn(usize, usize) -> Command + Copy + 'a,
    ) -> [Subject<'a>; 3] {
        [0, 1, 2].map(|index| Subject::new(self.all[index].0, move |round| command(index, round)))
    }

    fn run(
        &self,
        table: &mut Table,
        name: &'static str,
        bundle: &Path,
        limits: (&[Bound], Option<f64>),
    ) -> Result<()> {
        let path = bundle.display().to_string();
        let subjects = self.subjects(|index, round| {
            self.command(index, &["run", "-b", &path, &format!("run-{index}-{round}")])
        });
        Self::add(table, name, "ms", &interleaved(&subjects, RUNS)?, limits)
    }

    fn exec(&self, table: &mut Table, name: &'static str, bundle: &Path) -> Result<()> {
        let path = bundle.display().to_string();
        set_command(bundle, &["/bin/sleep", "1000"])?;
        for index in 0..self.all.len() {
            set_group(bundle, &format!("exec-{index}"))?;
            self.must(index, &["run", "-d", "-b", &path, "exec"])?;
        }
        let subjects =
            self.subjects(|index, _| self.command(index, &["exec", "exec", "/bin/true"]));
        let figures = interleaved(&subjects, RUNS);
        for index in 0..self.all.len() {
            self.must(index, &["delete", "-f", "exec"])?;
        }
        Self::add(table, name, "ms", &figures?, (&BOUNDS, Some(1.2)))
    }

    fn life(&self, table: &mut Table, names: &[&'static str], bundle: &Path) -> Result<()> {
        let path = bundle.display().to_string();
        set_command(bundle, &["/bin/sleep", "1000"])?;
        let life = |index: usize, round: usize| {
            let id = format!("life-{index}-{round}");
            vec![
                self.command(index, &["create", "-b", &path, &id]),
                self.command(index, &["start", &id]),
                self.command(index, &["delete", "-f", &id]),
            ]
        };
        let figures = phases(self.all.len(), names.len(), RUNS / 2, life)?;
        for (name, figures) in names.iter().zip(figures) {
            Self::add(table, name, "ms", &figures, (&BOUNDS, None))?;
        }
        Ok(())
    }

    fn crowd(&self, table: &mut Table, name: &'static str, bundle: &Path) -> Result<()> {
        let mut figures = Vec::new();
        for index in 0..self.all.len() {
            // A group each: one group has room for one container.
            let bundles: Vec<String> = (0..CROWD)
                .map(|number| copy_of(bundle, &format!("crowd-{index}-{number}")))
                .collect::<Result<_>>()?;
            let run = |number: usize| {
                self.command(index, &["run", "-b", &bundles[number], &format!("crowd-{number}")])
            };
            figures.push(at_once(CROWD, CROWD, &run).ok());
        }
        Self::add(table, name, "s", &figures, (&BOUNDS, None))
    }

    /// As GNU time measures it.
    fn memory(&self, table: &mut Table, name: &'static str, bundle: &Path) -> Result<()> {
        let path = bundle.display().to_string();
        let most = |index: usize| -> Result<f64> {
            let measured = self.command(index, &["run", "-b", &path, "memory"]);
            let mut command = stdx::process::command("/usr/bin/time");
            command.args(["-f", "%M"]).arg(measured.get_program()).args(measured.get_args());
            let output = stdx::process::output(&mut command)?;
            let text = String::from_utf8(output.stderr)?;
            let kibibytes: f64 = text.trim().lines().last().unwrap_or_default().parse()?;
            Ok(kibibytes / 1024.0)
        };
        let figures: Vec<_> = (0..self.all.len()).map(|index| most(index).ok()).collect();
        Self::add(table, name, "MiB", &figures, (&[Bound::Absolute(4.0)], None))
    }

    fn must(&self, index: usize, words: &[&str]) -> Result<()> {
        let mut command = self.command(index, words);
        match time(&mut command)? {
            Some(_) => Ok(()),
            None => Err(format!("{command:?} failed").into()),
        }
    }
}

/// The median of the system calls of a container, or of an exec, alone, in milliseconds.
fn floor(bundle: &Path, words: &[&str]) -> Result<String> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/floor.c");
    let program = bundle.join("floor");
    let mut compiler = stdx::process::command("cc");
    stdx::process::output(compiler.args(["-O2", "-static", "-o"]).arg(&program).arg(source))?;
    let mut command = stdx::process::command(&program);
    command.arg(bundle.join("rootfs")).args(["brig-bench-floor", "100"]).args(words);
    Ok(String::from_utf8(stdx::process::output(&mut command)?.stdout)?.trim().to_owned())
}

/// A bundle as `runc spec` makes it, with busybox as its root, no terminal, an absolute cgroup.
fn bundle(world: &World, name: &str, change: Change) -> Result<PathBuf> {
    let bundle = world.directory.path().join(name);
    fs::create_dir_all(bundle.join("rootfs"))?;
    testkit::image::busybox_root(&bundle.join("rootfs"));
    stdx::process::output(stdx::process::command("runc").args(["spec", "-b"]).arg(&bundle))?;
    configure(&bundle, |config| {
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/bin/true"]);
        config["process"]["rlimits"] = json!([]);
        config["linux"]["cgroupsPath"] = json!(format!("/brig-bench/{name}"));
        match change {
            Change::Nothing => {}
            Change::Seccomp => config["linux"]["seccomp"] = docker_profile(world)?,
            Change::NoNetwork => without_network(config),
            Change::Mounts(count) => add_mounts(config, count, &bundle)?,
        }
        Ok(())
    })?;
    Ok(bundle)
}

fn configure(bundle: &Path, change: impl FnOnce(&mut Value) -> Result<()>) -> Result<()> {
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    change(&mut config)?;
    Ok(fs::write(path, serde_json::to_vec(&config)?)?)
}

fn set_command(bundle: &Path, words: &[&str]) -> Result<()> {
    configure(bundle, |config| {
        config["process"]["args"] = json!(words);
        Ok(())
    })
}

fn set_group(bundle: &Path, name: &str) -> Result<()> {
    configure(bundle, |config| {
        config["linux"]["cgroupsPath"] = json!(format!("/brig-bench/{name}"));
        Ok(())
    })
}

/// A bundle with the same root, in a group of its own.
fn copy_of(bundle: &Path, name: &str) -> Result<String> {
    let copy = bundle.with_file_name(name);
    fs::create_dir_all(&copy)?;
    fs::copy(bundle.join("config.json"), copy.join("config.json"))?;
    let root = json!(bundle.join("rootfs"));
    configure(&copy, |config| {
        config["root"]["path"] = root;
        Ok(())
    })?;
    set_group(&copy, name)?;
    Ok(copy.display().to_string())
}

fn without_network(config: &mut Value) {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
}

fn add_mounts(config: &mut Value, count: usize, bundle: &Path) -> Result<()> {
    let source = bundle.join("source");
    fs::create_dir_all(&source)?;
    // Made beforehand, as the root is read-only.
    config["root"]["readonly"] = json!(false);
    let mounts = config["mounts"].as_array_mut().ok_or("no mounts")?;
    for number in 0..count {
        let (destination, options) = (format!("/mounts/{number}"), ["bind", "ro"]);
        fs::create_dir_all(bundle.join("rootfs/mounts").join(number.to_string()))?;
        mounts.push(json!({
            "destination": destination, "type": "bind", "source": source, "options": options,
        }));
    }
    Ok(())
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
