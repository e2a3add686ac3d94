//! A root file system of busybox, a configuration, and one run of it.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use linux::process::{ExitStatus, SingleThreaded};
use oci::runtime::{Mount, Spec};
use runtime::{CreateRequest, Created, Error, Newborn, Rootfs, Stdio};
use tempfile::TempDir;

const SPEC: &str = include_str!("default.json");

/// A bundle in a temporary directory, and what is to be run in it.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) spec: Spec,
    pub(crate) id: String,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl World {
    /// Runs this shell script.
    pub(crate) fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("rootfs");
        fs::create_dir_all(root.join("bin")).unwrap();
        for name in ["etc", "proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for world_can_enter in [directory.path(), &root] {
            fs::set_permissions(world_can_enter, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "cat", "ls", "id", "stat", "mount", "true", "sleep", "hostname", "tty", "stty",
            "readlink", "touch", "head", "ps", "env", "mkdir", "dd", "grep", "wc", "echo", "kill",
            "pwd", "rm", "tr", "cut", "mknod", "ln", "find", "sort", "test", "umount",
        ] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        let mut spec: Spec = serde_json::from_str(SPEC).unwrap();
        let id = format!("t{}", stdx::hex::encode(&stdx::random::bytes::<6>()));
        spec.linux.as_mut().unwrap().cgroups_path = Some(format!("/brig-test-{id}/c"));
        let mut world = Self { directory, spec, id };
        world.command(&["/bin/sh", "-c", script]);
        world
    }

    pub(crate) fn command(&mut self, words: &[&str]) {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        self.spec.process.as_mut().unwrap().args = words;
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub(crate) fn linux(&mut self) -> &mut oci::runtime::Linux {
        self.spec.linux.as_mut().unwrap()
    }

    pub(crate) fn process(&mut self) -> &mut oci::runtime::Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        self.spec.mounts.push(Mount {
            destination: destination.to_owned(),
            kind: Some(kind.to_owned()),
            source: Some(source.to_owned()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        });
    }

    /// Does `body` while the container runs `sleep`, then ends it.
    pub(crate) fn while_running(&mut self, token: &SingleThreaded, body: impl FnOnce(&Created)) {
        self.command(&["/bin/sleep", "1000"]);
        let (_output, stdio) = piped();
        let mut created = self.create(token, stdio).unwrap();
        created.start().unwrap();
        // Also when the body fails.
        let running = Running(created);
        body(&running.0);
    }

    pub(crate) fn create(&self, token: &SingleThreaded, stdio: Stdio) -> Result<Created, Error> {
        self.create_on(token, stdio, Rootfs::Directory(self.root()))
    }

    pub(crate) fn create_on(
        &self,
        token: &SingleThreaded,
        stdio: Stdio,
        rootfs: Rootfs,
    ) -> Result<Created, Error> {
        runtime::create(token, self.request(stdio, rootfs))
    }

    pub(crate) fn birth(&self, token: &SingleThreaded, stdio: Stdio) -> Newborn {
        runtime::birth(token, self.request(stdio, Rootfs::Directory(self.root()))).unwrap()
    }

    fn request(&self, stdio: Stdio, rootfs: Rootfs) -> CreateRequest<'_> {
        CreateRequest {
            id: &self.id,
            spec: &self.spec,
            bundle: self.directory.path(),
            rootfs,
            stdio,
            network_namespace: None,
            preserve_descriptors: 0,
            has_own_keyring: true,
            unit: None,
            gate: None,
        }
    }

    /// Nothing of the container is left: no group, no process.
    pub(crate) fn assert_gone(&self) {
        let group = self.spec.linux.as_ref().unwrap().cgroups_path.clone().unwrap();
        let layout = linux::cgroup::Layout::detect().unwrap();
        assert!(linux::cgroup::Group::open(layout, &group).is_err(), "the group is gone");
        let children = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
        assert_eq!(children.unwrap_err(), rustix::io::Errno::CHILD, "no process is left");
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, token: &SingleThreaded) -> Result<Outcome, Error> {
        let (output, stdio) = piped();
        let mut created = self.create(token, stdio)?;
        let started = created.start();
        let text = read(output);
        let status = created.process.wait().unwrap();
        created.cgroup.as_ref().unwrap().delete().unwrap();
        started.map(|()| Outcome { status, output: text })
    }

    /// Runs it to its end, which must be a success, and gives what it wrote.
    pub(crate) fn output(&self, token: &SingleThreaded) -> String {
        let outcome = self.run(token).unwrap();
        assert_eq!(outcome.status, ExitStatus::Code(0), "{}", outcome.output);
        outcome.output
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The parent of the test's group; the group itself went with the container.
        if let Ok(layout) = linux::cgroup::Layout::detect()
            && let Ok(group) =
                linux::cgroup::Group::open(layout, &format!("/brig-test-{}", self.id))
        {
            drop(group.delete());
        }
    }
}

/// A container that ends with its scope.
struct Running(Created);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.process.signal(9));
        // All children of the test: the first one ends only when those beside it have been reaped.
        while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
        drop(self.0.cgroup.as_ref().unwrap().delete());
    }
}

/// Standard output and error into one pipe.
pub(crate) fn piped() -> (OwnedFd, Stdio) {
    let (reader, writer) = std::io::pipe().unwrap();
    let stdin = fs::File::open("/dev/null").unwrap().into();
    let stdout: OwnedFd = writer.into();
    let stderr = stdout.try_clone().unwrap();
    (reader.into(), Stdio::Descriptors { stdin, stdout, stderr })
}

pub(crate) fn read(output: OwnedFd) -> String {
    let mut bytes = Vec::new();
    // A terminal's master ends with an error instead of an end.
    drop(fs::File::from(output).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
}

/// The error chain in one line.
pub(crate) fn text(error: &Error) -> String {
    stdx::chain(error)
}

/// The mounts this process sees: what a test must not change.
pub(crate) fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}
