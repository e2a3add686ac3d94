//! The peers, started by hand in directories of their own, and a release build of brig.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::image::Layout;
use testkit::process::{Background, eventually};
use testkit::{Brig, Registry};

use crate::{Result, release};

/// Everything the rows need; it all ends on drop.
pub(super) struct World {
    pub(super) brig: Brig,
    /// Started by hand: one that a command starts leaves the command's network namespace.
    _brig_daemon: Background,
    pub(super) registry: Registry,
    docker_socket: PathBuf,
    pub(super) dockerd: Background,
    pub(super) containerd: Background,
    pub(super) directory: tempfile::TempDir,
    /// `brig-runtime`.
    pub(super) runtime: PathBuf,
}

impl World {
    pub(super) fn build() -> Result<Self> {
        let release = release::build()?;
        let directory = tempfile::tempdir()?;
        let registry = Registry::start();
        let layout = testkit::image::busybox(&directory.path().join("busybox"));
        registry.push(&layout, "library/busybox:latest");
        let brig = Brig::new(&release.brig.display().to_string());
        brig.mirror_docker_io(registry.address());
        let brig_daemon = start_brig(&brig);
        let (containerd, dockerd, docker_socket) = start_docker(directory.path(), &registry)?;
        let world = Self {
            brig,
            _brig_daemon: brig_daemon,
            registry,
            docker_socket,
            dockerd,
            containerd,
            directory,
            runtime: release.runtime,
        };
        world.pull_busybox(&layout)?;
        Ok(world)
    }

    /// The stock CLI against Debian's dockerd.
    pub(super) fn docker(&self, arguments: &[&str]) -> Command {
        docker_cli(&self.docker_socket, arguments)
    }

    /// The stock CLI against brig.
    pub(super) fn docker_on_brig(&self, arguments: &[&str]) -> Command {
        docker_cli(&self.brig.socket(), arguments)
    }

    /// podman with storage of its own; it has no daemon.
    pub(super) fn podman(&self, arguments: &[&str]) -> Command {
        let directory = self.directory.path().join("podman");
        let mut command = stdx::process::command("podman");
        command
            .arg("--root")
            .arg(directory.join("root"))
            .arg("--runroot")
            .arg(directory.join("run"))
            .args(["--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs"])
            .args(arguments);
        command
    }

    fn pull_busybox(&self, layout: &Layout) -> Result<()> {
        drop(self.brig.ok(&["pull", "-q", "busybox"]));
        let image = format!("{}/library/busybox:latest", self.registry.address());
        stdx::process::output(&mut self.docker(&["pull", "-q", &image]))?;
        stdx::process::output(&mut self.docker(&["tag", &image, "busybox"]))?;
        let archive = self.directory.path().join("busybox.tar");
        stdx::process::output(
            stdx::process::command("skopeo")
                .args(["copy", "-q", "--insecure-policy"])
                .arg(format!("oci:{}", layout.path().display()))
                .arg(format!("docker-archive:{}:busybox:latest", archive.display())),
        )?;
        let archive = archive.to_string_lossy().into_owned();
        stdx::process::output(&mut self.podman(&["load", "-q", "-i", &archive]))?;
        Ok(())
    }
}

fn docker_cli(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = stdx::process::command("docker");
    command.env_remove("DOCKER_CONTEXT").arg("-H").arg(format!("unix://{}", socket.display()));
    command.args(arguments);
    command
}

fn start_brig(brig: &Brig) -> Background {
    let mut command = brig.command(&["daemon"]);
    let daemon = Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("brig answers", Duration::from_secs(60), || {
        std::os::unix::net::UnixStream::connect(brig.socket()).ok()
    });
    daemon
}

fn start_docker(
    directory: &Path,
    registry: &Registry,
) -> Result<(Background, Background, PathBuf)> {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let log = |name: &str| -> Result<Stdio> { Ok(fs::File::create(directory.join(name))?.into()) };
    let containerd = Background::start(
        stdx::process::command("containerd")
            .args(["--root", &path("c"), "--state", &path("cs"), "--address", &path("c.sock")])
            .stdout(Stdio::null())
            .stderr(log("containerd.log")?),
    );
    eventually("containerd answers", Duration::from_secs(60), || {
        std::os::unix::net::UnixStream::connect(directory.join("c.sock")).ok()
    });
    let socket = directory.join("docker.sock");
    let dockerd = Background::start(
        stdx::process::command("dockerd")
            .args(["--containerd", &path("c.sock"), "--data-root", &path("d")])
            .args(["--exec-root", &path("de"), "-p", &path("d.pid")])
            .args(["--insecure-registry", registry.address()])
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .stdout(Stdio::null())
            .stderr(log("dockerd.log")?),
    );
    eventually("dockerd answers", Duration::from_secs(60), || {
        let output = docker_cli(&socket, &["version"]).output().ok()?;
        output.status.success().then_some(())
    });
    Ok((containerd, dockerd, socket))
}
