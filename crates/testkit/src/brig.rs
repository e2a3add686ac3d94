//! A brig of the test's own: the built binary with a root directory that nobody else uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::process;

/// How long one command may take before the test fails: far above any command's time on a busy
/// machine, far below the patience of a person.
const LIMIT: Duration = Duration::from_secs(120);

/// A root of its own; the daemon and all containers end on drop.
#[derive(Debug)]
pub struct Brig {
    program: PathBuf,
    directory: tempfile::TempDir,
}

impl Brig {
    /// A fresh root for the program (`env!("CARGO_BIN_EXE_brig")`); no daemon runs yet.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), directory: tempfile::tempdir().unwrap() }
    }

    /// Makes docker.io and its mirror the registry at `address` (plain HTTP). Call before the
    /// first command.
    pub fn mirror_docker_io(&self, address: &str) {
        let config = format!("[registries.\"docker.io\"]\nmirrors = [\"http://{address}\"]\n");
        fs::write(self.config_path(), config).unwrap();
    }

    /// The configuration file that every command of this brig is given, if it was written.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    /// The root directory (`--root`).
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// The Docker API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/brig.sock")
    }

    /// The program under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command with this root, to be configured further. Its environment is emptied of whatever
    /// would point to another engine.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stdx::process::command(&self.program);
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "BRIG_ROOT"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.directory.path()).arg("--root").arg(self.root());
        if self.config_path().exists() {
            command.arg("--config").arg(self.config_path());
        }
        command.args(arguments).stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn output(&self, arguments: &[&str]) -> Output {
        process::run(&mut self.command(arguments), LIMIT)
    }

    /// Runs a command that must succeed; its standard output without the last line feed.
    #[must_use]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "brig {arguments:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// Runs a command that must fail with this exit code; its standard error.
    #[must_use]
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "brig {arguments:?}: {stderr}");
        stderr
    }

    /// The stock docker CLI, speaking to this brig.
    #[must_use]
    pub fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = stdx::process::command("docker");
        command
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.directory.path().join("docker"))
            .stdin(std::process::Stdio::null())
            .args(arguments);
        process::run(&mut command, LIMIT)
    }

    /// Loads a busybox image as `busybox:latest` without any registry.
    pub fn load_busybox(&self) {
        let directory = tempfile::tempdir().unwrap();
        let layout = crate::image::busybox(directory.path());
        self.load(layout.path(), "busybox:latest");
    }

    /// Loads an OCI layout under a name, by way of an archive as `docker save` writes it.
    pub fn load(&self, layout: &Path, name: &str) {
        let archive = self.directory.path().join("image.tar");
        stdx::process::output(
            stdx::process::command("skopeo")
                .args(["copy", "--quiet", "--insecure-policy"])
                .arg(format!("oci:{}", layout.display()))
                .arg(format!("docker-archive:{}:{name}", archive.display())),
        )
        .unwrap();
        drop(self.ok(&["load", "-q", "-i", &archive.to_string_lossy()]));
        fs::remove_file(archive).unwrap();
    }

    /// The daemon's process id, or `None` when none runs.
    #[must_use]
    pub fn daemon_id(&self) -> Option<u32> {
        fs::read_to_string(self.root().join("run/daemon.pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Brig {
    fn drop(&mut self) {
        if self.root().exists() {
            drop(self.command(&["system", "shutdown", "--all"]).output());
        }
    }
}
