//! crun for this machine.
//!
//! crun refuses hybrid control groups whose version 2 hierarchy has a controller, although it would
//! run there by version 1. On such a machine Debian's source is built without that one check, so
//! that there is a figure to compare with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Result, peers};

/// What building it takes.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/dpkg-source", "dpkg-dev"),
    ("/usr/bin/make", "make"),
    ("/usr/bin/pkg-config", "pkg-config"),
    ("/usr/include/sys/capability.h", "libcap-dev"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
    ("/usr/include/yajl/yajl_version.h", "libyajl-dev"),
    ("/usr/include/systemd/sd-bus.h", "libsystemd-dev"),
];

/// The statement that refuses, and what stands in its place.
const REFUSAL: &str = "return crun_make_error (err, 0, \"cgroups in hybrid mode not supported, \
    drop all controllers from cgroupv2\");";
const INSTEAD: &str = "{ }";

/// The program to run: Debian's where it can, else the one built here.
pub(super) fn program() -> Result<PathBuf> {
    let controllers = "/sys/fs/cgroup/unified/cgroup.controllers";
    if fs::read_to_string(controllers).is_ok_and(|names| !names.trim().is_empty()) {
        build()
    } else {
        Ok("crun".into())
    }
}

fn build() -> Result<PathBuf> {
    let directory = peers::target_directory().join("peers/crun");
    let program = directory.join("source/crun");
    if program.exists() {
        return Ok(program);
    }
    println!("building crun without its check for hybrid control groups");
    peers::install_packages(PACKAGES)?;
    let source = directory.join("source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fetch(&directory)?;
    patch(&source.join("src/libcrun/cgroup.c"))?;
    fs::write(source.join("git-version.h"), "#define GIT_VERSION \"Debian's source\"\n")?;
    let configure = ["--quiet", "--disable-dependency-tracking"];
    run(&source, "./configure", &configure)?;
    run(&source, "make", &["-s", "-j2", "crun"])?;
    Ok(program)
}

/// Unpacks Debian's source package into `source`, by package lists of its own: the machine's name
/// binary packages only.
fn fetch(directory: &Path) -> Result<()> {
    let (lists, sources) = (directory.join("lists"), directory.join("sources"));
    fs::create_dir_all(lists.join("partial"))?;
    fs::create_dir_all(&sources)?;
    let machine = "/etc/apt/sources.list.d/debian.sources";
    let binary = fs::read_to_string(machine)?;
    fs::write(sources.join("crun.sources"), binary.replace("Types: deb\n", "Types: deb-src\n"))?;
    let places = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", sources.display()),
        format!("Dir::State::lists={}", lists.display()),
        "Dir::Cache::pkgcache=".to_owned(),
        "Dir::Cache::srcpkgcache=".to_owned(),
    ];
    let options: Vec<&str> = places.iter().flat_map(|place| ["-o", place]).collect();
    run(directory, "apt-get", &[&options[..], &["-qq", "update"]].concat())?;
    run(
        directory,
        "apt-get",
        &[&options[..], &["-qq", "source", "--download-only", "crun"]].concat(),
    )?;
    let description = fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "dsc"))
        .ok_or("no source package of crun")?;
    let description = description.to_string_lossy().into_owned();
    run(directory, "dpkg-source", &["--no-check", "-x", &description, "source"])
}

fn patch(file: &Path) -> Result<()> {
    let text = fs::read_to_string(file)?;
    if !text.contains(REFUSAL) {
        return Err("crun's check for hybrid control groups has changed".into());
    }
    Ok(fs::write(file, text.replace(REFUSAL, INSTEAD))?)
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = stdx::process::command(program);
    stdx::process::output(command.current_dir(directory).args(arguments))?;
    Ok(())
}
