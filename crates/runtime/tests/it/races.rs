//! Somebody who shares the root file system, or a volume, exchanges what the runtime is about to use:
//! a directory or file for a link that leads out. At no moment may anything of the host's be read,
//! written, made or mounted.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use linux::process::{PidFd, SingleThreaded};
use runtime::Stdio;
use testkit::forked::Test;

use crate::exec::{process, run};
use crate::hardening::exchanged_for_ever;
use crate::world::{World, mounts, read};

pub(crate) const TESTS: &[Test] = &[
    ("races::devices_are_made_inside", devices),
    ("races::the_terminal_is_put_inside", console),
    ("races::masks_and_read_only_paths_are_inside", masks),
    ("races::the_working_directory_is_inside", working_directory),
    ("races::the_working_directory_of_an_exec_is_inside", exec_directory),
    ("races::what_is_copied_up_is_from_inside", copied_up),
    ("races::a_source_keeps_its_restrictions", source),
    ("races::the_users_home_is_what_the_image_says", home),
    ("races::a_program_is_looked_up_inside", program),
];

/// How often the attack is tried.
const TURNS: usize = 40;

/// What nobody may see.
const SECRET: &str = "the host's own";

/// A directory of the host's with a secret, and somebody who for ever exchanges a name in the
/// container's root for a link that leads there.
struct Attack {
    victim: tempfile::TempDir,
    racer: PidFd,
    mounts: String,
}

impl Attack {
    /// `name` is there already; the link leads to `place` in the victim's directory.
    fn begin(token: &SingleThreaded, root: &Path, name: &str, place: &str) -> Self {
        let victim = tempfile::tempdir().unwrap();
        fs::write(victim.path().join("secret"), SECRET).unwrap();
        let link = root.join("link");
        symlink(victim.path().join(place), &link).unwrap();
        let racer = exchanged_for_ever(token, &root.join(name), &link);
        Self { victim, racer, mounts: mounts() }
    }

    /// The victim is as it was, and nothing is mounted here.
    fn end(self) {
        drop(self.racer.signal(9));
        self.racer.wait().unwrap();
        let names = |path: &Path| -> Vec<PathBuf> {
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        assert_eq!(names(self.victim.path()), [self.victim.path().join("secret")]);
        assert_eq!(fs::read_to_string(self.victim.path().join("secret")).unwrap(), SECRET);
        assert_eq!(mounts(), self.mounts);
    }
}

/// Runs it again and again; not all may fail, as then nothing was tried. What they wrote.
fn outputs(token: &SingleThreaded, world: &World) -> Vec<String> {
    let runs = (0..TURNS).map(|_| world.run(token));
    let outputs: Vec<_> = runs.filter_map(Result::ok).map(|outcome| outcome.output).collect();
    assert!(outputs.iter().all(|output| !output.contains(SECRET)), "{outputs:?}");
    assert!(!outputs.is_empty(), "none was even begun");
    outputs
}

/// Without a file system of its own for them (CVE-2026-41579).
fn without_own_devices(script: &str) -> World {
    let mut world = World::new(script);
    world.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    world
}

fn devices(token: &SingleThreaded) {
    let world = without_own_devices("cat /dev/secret");
    let attack = Attack::begin(token, &world.root(), "dev", "");
    outputs(token, &world);
    attack.end();
}

/// CVE-2025-52565.
fn console(token: &SingleThreaded) {
    assert!(terminals(token, "dev/console", "secret") > 0, "none was even begun");
    // The file system of terminals itself: it is hardly ever in its place when it is looked for.
    terminals(token, "dev/pts", "");
}

/// How many containers with a terminal begin while this name is exchanged.
fn terminals(token: &SingleThreaded, name: &str, place: &str) -> usize {
    let mut world = without_own_devices("echo x > /dev/console");
    world.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"]);
    fs::create_dir(world.root().join("dev/pts")).unwrap();
    fs::write(world.root().join("dev/console"), "").unwrap();
    let attack = Attack::begin(token, &world.root(), name, place);
    let mut begun = 0;
    for _ in 0..TURNS {
        let Ok(mut created) = world.create(token, Stdio::Terminal) else { continue };
        let master: OwnedFd = created.terminal.take().unwrap();
        begun += usize::from(created.start().is_ok());
        assert!(!read(master).contains(SECRET));
        created.process.wait().unwrap();
        created.cgroup.unwrap().delete().unwrap();
    }
    attack.end();
    begun
}

/// CVE-2025-31133.
fn masks(token: &SingleThreaded) {
    let mut world = World::new("cat /data/secret; echo x > /data/secret; echo x > /data/new; true");
    fs::create_dir(world.root().join("data")).unwrap();
    fs::write(world.root().join("data/secret"), "own").unwrap();
    let attack = Attack::begin(token, &world.root(), "data", "");
    for (masked, read_only) in [("/data/secret", ""), ("/data", ""), ("", "/data")] {
        let some = |path: &str| (!path.is_empty()).then(|| path.to_owned()).into_iter().collect();
        world.linux().masked_paths = some(masked);
        world.linux().readonly_paths = some(read_only);
        outputs(token, &world);
    }
    attack.end();
}

fn working_directory(token: &SingleThreaded) {
    let mut world = World::new("ls; cat secret; pwd");
    fs::create_dir(world.root().join("data")).unwrap();
    world.process().cwd = "/data/made/deep".to_owned();
    let attack = Attack::begin(token, &world.root(), "data", "");
    outputs(token, &world);
    world.process().cwd = "/data".to_owned();
    outputs(token, &world);
    attack.end();
}

fn exec_directory(token: &SingleThreaded) {
    let mut world = World::new("");
    fs::create_dir(world.root().join("data")).unwrap();
    let mut process = process(&world, "ls; cat secret; cat ../secret");
    process.cwd = "/data".to_owned();
    let attack = Attack::begin(token, &world.root(), "data", "");
    world.while_running(token, |container| {
        let runs = (0..TURNS).map(|_| run(token, container, &process));
        let outputs: Vec<_> = runs.filter_map(Result::ok).map(|(_, output)| output).collect();
        assert!(!outputs.is_empty(), "none was even begun");
        assert!(outputs.iter().all(|output| !output.contains(SECRET)), "{outputs:?}");
        // Before all children are waited for.
        attack.end();
    });
}

fn copied_up(token: &SingleThreaded) {
    let mut world = World::new("cat /data/secret /data/own; echo x > /data/secret; true");
    fs::create_dir(world.root().join("data")).unwrap();
    fs::write(world.root().join("data/own"), "own").unwrap();
    world.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let attack = Attack::begin(token, &world.root(), "data", "");
    outputs(token, &world);
    attack.end();
}

/// A bind mount's source is the caller's own word, and may be a link. But what is mounted is what was
/// looked at, restricted as was asked for, and not what came to be there in the meantime.
fn source(token: &SingleThreaded) {
    let mut world = World::new("echo x > /data/new; grep ' /data ' /proc/self/mountinfo");
    let volume = world.directory.path().join("volume");
    fs::create_dir_all(volume.join("data")).unwrap();
    let data = volume.join("data");
    world.mount("/data", "bind", data.to_str().unwrap(), &["rbind", "ro", "nosuid", "noexec"]);
    let attack = Attack::begin(token, &volume, "data", "");
    for output in outputs(token, &world) {
        assert!(output.contains(" ro,nosuid,noexec,"), "{output}");
    }
    attack.end();
}

fn home(token: &SingleThreaded) {
    let world = World::new("echo $HOME; cat /etc/passwd");
    let attack = Attack::begin(token, &world.root(), "etc/passwd", "secret");
    fs::write(attack.victim.path().join("secret"), format!("root:x:0:0::/{SECRET}:\n")).unwrap();
    outputs(token, &world);
    fs::write(attack.victim.path().join("secret"), SECRET).unwrap();
    attack.end();
}

fn program(token: &SingleThreaded) {
    let mut world = World::new("");
    let tools = world.root().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::copy("/bin/busybox", tools.join("echo")).unwrap();
    world.command(&["/tools/echo", "its own"]);
    let attack = Attack::begin(token, &world.root(), "tools", "");
    let theirs = format!("#!/bin/sh\n/bin/echo {SECRET}\n");
    let path = attack.victim.path().join("secret");
    fs::write(attack.victim.path().join("echo"), theirs).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    outputs(token, &world);
    fs::remove_file(attack.victim.path().join("echo")).unwrap();
    attack.end();
}
