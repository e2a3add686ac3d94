//! Other people's engines with brig as their runtime: containerd, Docker, podman, buildah.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use testkit::process::{Background, eventually, run};

use crate::BRIG;

const LIMIT: Duration = Duration::from_secs(60);

/// A directory for an engine, with brig under the name of its other face, and an archive of
/// busybox; the engine's containers are in a group of its own. All is gone when dropped.
struct World {
    directory: tempfile::TempDir,
    group: String,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().file_name().unwrap().to_str().unwrap();
        let group = format!("brig-engine-{}", name.trim_start_matches('.'));
        let world = Self { directory, group };
        std::os::unix::fs::symlink(BRIG, world.runtime()).unwrap();
        let layout = testkit::image::busybox(&world.path("layout"));
        let archive =
            format!("docker-archive:{}:docker.io/library/busybox:latest", world.archive());
        let mut skopeo = stdx::process::command("skopeo");
        skopeo.args(["copy", "--quiet", "--insecure-policy"]);
        skopeo.arg(format!("oci:{}", layout.path().display())).arg(archive);
        stdx::process::output(&mut skopeo).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn runtime(&self) -> String {
        self.text("brig-runtime")
    }

    fn archive(&self) -> String {
        self.text("busybox.tar")
    }

    fn containerd(&self) -> Background {
        let mut command = stdx::process::command("containerd");
        command.args(["--root", &self.text("c"), "--state", &self.text("cs")]);
        command.args(["--address", &self.text("c.sock")]).stdout(Stdio::null());
        let containerd = Background::start(command.stderr(self.log("containerd.log")));
        eventually("containerd answers", LIMIT, || {
            std::os::unix::net::UnixStream::connect(self.path("c.sock")).ok()
        });
        containerd
    }

    fn log(&self, name: &str) -> Stdio {
        fs::File::create(self.path(name)).unwrap().into()
    }

    fn assert_nothing_left(&self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = hierarchy.path().join(&self.group);
            let left: Vec<_> = groups_in(&group).collect();
            // podman keeps its own there.
            assert!(left.iter().all(|group| group.ends_with("conmon")), "{left:?}");
        }
        let directory = self.directory.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let roots = |line: &&str| line.contains(directory) && line.contains("rootfs");
        assert_eq!(mounts.lines().filter(roots).count(), 0);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let directory = self.directory.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| point.starts_with(directory)) {
            drop(stdx::process::command("umount").arg("-l").arg(point).status());
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let group = hierarchy.path().join(&self.group);
            groups_in(&group).chain([group.clone()]).for_each(|group| drop(fs::remove_dir(group)));
        }
    }
}

fn groups_in(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// The size of the terminal, when it has one: engines give it after the start.
const SIZE: &str = "sh -c 'until stty size 2>/dev/null | grep .; do sleep 0.05; done'";

/// A client with the words that all its commands begin with.
struct Client<'a> {
    words: Vec<&'a str>,
}

impl Client<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = stdx::process::command(self.words[0]);
        command.args(&self.words[1..]).args(words(line)).stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> Output {
        run(&mut self.command(line), LIMIT)
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.output(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn ends_with(&self, code: i32, line: &str) -> String {
        let output = self.output(line);
        let text =
            String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        text
    }

    /// With a terminal, as script(1) gives one.
    #[track_caller]
    fn in_terminal(&self, line: &str) -> String {
        let whole = format!("{} {line}", self.words.join(" "));
        let mut script = stdx::process::command("script");
        script.args(["-qec", &format!("stty rows 33 cols 77; {whole}"), "/dev/null"]);
        // At the end of its input it would hang up.
        let (input, _held) = std::io::pipe().unwrap();
        let output = run(script.stdin(input), LIMIT);
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    }
}

/// Words of a line; those in quotes are one.
fn words(line: &str) -> Vec<&str> {
    line.split('\'')
        .enumerate()
        .flat_map(
            |(index, part)| {
                if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
            },
        )
        .collect()
}

#[test]
fn containerd_runs_its_containers_on_it() {
    let world = World::new();
    let _containerd = world.containerd();
    let socket = world.text("c.sock");
    // The group of a container is below one named as the namespace.
    let ctr = Client { words: vec!["ctr", "-a", &socket, "-n", &world.group] };
    drop(ctr.ok(&format!("images import {}", world.archive())));
    let image = "docker.io/library/busybox:latest";
    let run = format!("run --runc-binary {}", world.runtime());

    // ctr may end before it has copied what a short program wrote.
    eventually("its output arrives", LIMIT, || {
        (ctr.ok(&format!("{run} --rm {image} one echo hello")) == "hello").then_some(())
    });
    drop(ctr.ends_with(7, &format!("{run} --rm {image} two sh -c 'exit 7'")));
    let missing = ctr.ends_with(1, &format!("{run} --rm {image} three /not/there"));
    assert!(missing.contains("/not/there: no such file or directory"), "{missing}");
    eventually("its terminal is shown", LIMIT, || {
        let screen = ctr.in_terminal(&format!("{run} --rm -t {image} four tty"));
        screen.contains("/dev/pts/0").then_some(())
    });

    drop(ctr.ok(&format!("{run} -d {image} five sleep 1000")));
    drop(ctr.ends_with(5, "tasks exec --exec-id x five sh -c 'exit 5'"));
    assert!(ctr.ok("tasks ls").contains("RUNNING"));
    drop(ctr.ok("tasks pause five"));
    assert!(ctr.ok("tasks ls").contains("PAUSED"));
    drop(ctr.ok("tasks resume five"));
    assert!(ctr.ok("tasks metrics five").contains("memory.usage_in_bytes"));
    let pid = ctr.ok("tasks ls -q");
    assert!(!pid.is_empty() && ctr.ok("tasks ps five").lines().count() == 2);
    drop(ctr.ok("tasks kill -s KILL five"));
    eventually("it has stopped", LIMIT, || ctr.ok("tasks ls").contains("STOPPED").then_some(()));
    // It tells the code of the task as its own.
    drop(ctr.output("tasks delete five"));
    drop(ctr.ok("containers rm five"));
    world.assert_nothing_left();
}

/// In a network namespace of its own, where its rules are nobody else's.
fn dockerd(world: &World) -> Background {
    let mut command = stdx::process::command("unshare");
    command.args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", "dockerd"]);
    command.args(["--containerd", &world.text("c.sock"), "--data-root", &world.text("d")]);
    command.args(["--exec-root", &world.text("de"), "-p", &world.text("d.pid")]);
    command.arg("-H").arg(format!("unix://{}", world.text("docker.sock")));
    command.arg("--add-runtime").arg(format!("brig={}", world.runtime()));
    command.args(["--default-runtime", "brig", "--cgroup-parent", &format!("/{}", world.group)]);
    Background::start(command.stdout(Stdio::null()).stderr(world.log("dockerd.log")))
}

#[test]
fn docker_runs_its_containers_on_it() {
    let world = World::new();
    let _containerd = world.containerd();
    let _dockerd = dockerd(&world);
    let host = format!("unix://{}", world.text("docker.sock"));
    let docker = Client { words: vec!["docker", "-H", &host] };
    eventually("dockerd answers", LIMIT, || {
        docker.output("version").status.success().then_some(())
    });
    assert_eq!(docker.ok("info -f {{.DefaultRuntime}}"), "brig");
    drop(docker.ok(&format!("load -q -i {}", world.archive())));

    // Its own network comes by a hook.
    assert!(docker.ok("run --rm busybox ip -o -4 address").contains("eth0"));
    drop(docker.ends_with(9, "run --rm busybox sh -c 'exit 9'"));
    drop(docker.ends_with(127, "run --rm busybox /not/there"));
    assert_eq!(docker.ok("run --rm -v data:/data busybox sh -c 'echo kept > /data/file'"), "");
    let strict = "run --rm --read-only --cap-drop ALL --security-opt no-new-privileges \
                  --ulimit nofile=1000:1000 --tmpfs /scratch -v data:/data:ro busybox \
                  sh -c 'ulimit -n; cat /data/file; grep CapBnd /proc/self/status; touch /scratch/x'";
    assert_eq!(docker.ok(strict), "1000\nkept\nCapBnd:\t0000000000000000");
    assert!(docker.ok("run --rm --init busybox ps").contains("docker-init"));
    assert_eq!(docker.ok("run --rm --network host busybox ls /sys/class/net").lines().count(), 2);

    let trap = "sh -c 'trap \"exit 3\" TERM; echo up; while :; do sleep 0.1; done'";
    drop(docker.ok(&format!("run -d --name web -m 64m --cpus 0.5 --pids-limit 30 busybox {trap}")));
    drop(docker.ends_with(4, "exec web sh -c 'exit 4'"));
    let screen = docker.in_terminal(&format!("exec -it web {SIZE}"));
    assert!(screen.contains("33 77"), "{screen}");
    assert!(docker.ok("top web").contains("trap"));
    assert!(docker.ok("stats --no-stream --format {{.MemUsage}} web").contains("64MiB"));
    drop(docker.ok("pause web"));
    assert!(docker.ok("ps").contains("(Paused)"));
    drop(docker.ok("unpause web"));
    drop(docker.ok("update -m 128m --memory-swap 256m --cpus 1 --pids-limit 40 web"));
    assert!(docker.ok("stats --no-stream --format {{.MemUsage}} web").contains("128MiB"));
    drop(docker.ok("stop -t 20 web"));
    assert_eq!(docker.ok("inspect -f {{.State.ExitCode}} web"), "3");
    drop(docker.ok("start web"));
    drop(docker.ok("kill web"));
    assert_eq!(docker.ok("wait web"), "137");
    assert_eq!(docker.ok("logs web"), "up\nup");
    drop(docker.ok("rm web"));
    drop(docker.ok("volume rm data"));
    world.assert_nothing_left();
}

#[test]
fn podman_runs_its_containers_on_it() {
    let world = World::new();
    let (runtime, root, run_root) = (world.runtime(), world.text("p"), world.text("pr"));
    let words = ["podman", "--root", &root, "--runroot", &run_root, "--runtime", &runtime];
    let podman = Client { words: [&words[..], &["--cgroup-manager", "cgroupfs"]].concat() };
    drop(podman.ok(&format!("load -q -i {}", world.archive())));
    let options = format!(
        "--ulimit nofile=20000:20000 --ulimit nproc=1000:1000 --cgroup-parent /{} --network none",
        world.group
    );
    assert_eq!(podman.ok(&format!("run --rm {options} busybox echo hi")), "hi");
    drop(podman.ends_with(9, &format!("run --rm {options} busybox sh -c 'exit 9'")));
    drop(podman.ends_with(127, &format!("run --rm {options} busybox /not/there")));
    let mapped =
        format!("run --rm {options} --uidmap 0:100000:1000 busybox cat /proc/self/uid_map");
    assert_eq!(podman.ok(&mapped).split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000"]);
    eventually("its terminal is shown", LIMIT, || {
        let screen = podman.in_terminal(&format!("run --rm -t {options} busybox tty"));
        screen.contains("/dev/pts/0").then_some(())
    });

    drop(podman.ok(&format!("run -d --name web {options} busybox sleep 1000")));
    drop(podman.ends_with(5, "exec web sh -c 'exit 5'"));
    assert!(podman.in_terminal(&format!("exec -it web {SIZE}")).contains("33 77"));
    assert!(podman.ok("top web").contains("sleep 1000"));
    assert!(podman.ok("stats --no-stream --format {{.PIDs}} web").contains('1'));
    drop(podman.ok("pause web"));
    assert_eq!(podman.ok("inspect -f {{.State.Status}} web"), "paused");
    drop(podman.ok("unpause web"));
    drop(podman.ok("stop -t 1 web"));
    assert_eq!(podman.ok("inspect -f {{.State.ExitCode}} web"), "137");
    drop(podman.ok("rm web"));
    world.assert_nothing_left();
}

#[test]
fn buildah_builds_on_it() {
    let world = World::new();
    let (root, run_root) = (world.text("b"), world.text("br"));
    let buildah = Client { words: vec!["buildah", "--root", &root, "--runroot", &run_root] };
    let limits = "--ulimit nofile=20000:20000 --ulimit nproc=1000:1000";
    let from = format!(
        "from {limits} --cgroup-parent /{} docker-archive:{}",
        world.group,
        world.archive()
    );
    let container = buildah.ok(&from);
    let run = format!("run --runtime {} --network none {container} --", world.runtime());
    assert_eq!(buildah.ok(&format!("{run} sh -c 'echo built > /file; id -u'")), "0");
    drop(buildah.ends_with(6, &format!("{run} sh -c 'exit 6'")));
    assert_eq!(buildah.ok(&format!("{run} cat /file")), "built");
    drop(buildah.ok(&format!("rm {container}")));
    world.assert_nothing_left();
}
