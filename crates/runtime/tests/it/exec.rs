//! Further processes in a running container.

use linux::process::{ExitStatus, SingleThreaded};
use oci::runtime::Process;
use runtime::{Created, Error, ExecRequest, Stdio};

use crate::harness::Test;
use crate::world::{World, piped, read, text};

pub(crate) const TESTS: &[Test] = &[
    ("exec::joins_namespaces_and_control_groups", joins),
    ("exec::user_directory_and_environment", user),
    ("exec::has_the_capabilities_asked_for_and_no_others", capabilities),
    ("exec::failures_have_their_exit_codes", failures),
    ("exec::gets_a_terminal", terminal),
    ("exec::cannot_be_looked_into_before_its_program_runs", not_dumpable),
];

fn process(world: &World, script: &str) -> Process {
    let mut process = world.spec.process.clone().unwrap();
    process.args = ["sh", "-c", script].map(str::to_owned).to_vec();
    process
}

fn begin(
    token: &SingleThreaded,
    container: &Created,
    process: &Process,
    stdio: Stdio,
) -> Result<Created, Error> {
    let request = ExecRequest {
        target: &container.process,
        process,
        seccomp: None,
        stdio,
        cgroup: container.cgroup.as_ref(),
        preserve_descriptors: 0,
    };
    runtime::exec(token, request)
}

fn run(
    token: &SingleThreaded,
    container: &Created,
    process: &Process,
) -> Result<(ExitStatus, String), Error> {
    let (output, stdio) = piped();
    let mut created = begin(token, container, process, stdio)?;
    let started = created.start();
    let text = read(output);
    let status = created.process.wait().unwrap();
    started.map(|()| (status, text))
}

fn joins(token: &SingleThreaded) {
    let own = std::fs::read_link("/proc/self/ns/pid_for_children").unwrap();
    let mut world = World::new("");
    let process = process(
        &world,
        "hostname; cat /proc/self/cgroup; for n in pid mnt net ipc uts cgroup; do \
         test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo $n differs; done; exit 9",
    );
    world.while_running(token, |container| {
        let (status, output) = run(token, container, &process).unwrap();
        assert_eq!(status, ExitStatus::Code(9));
        let mut lines = output.lines();
        assert_eq!(lines.next(), Some("box"), "{output}");
        assert!(lines.all(|line| line.ends_with(":/")), "{output}");
    });
    assert_eq!(std::fs::read_link("/proc/self/ns/pid_for_children").unwrap(), own);
}

fn user(token: &SingleThreaded) {
    let mut world = World::new("");
    let mut process = process(&world, "id -u; id -g; pwd; echo $HOME $X; cat /proc/self/status");
    process.user.uid = 1000;
    process.user.gid = 50;
    process.cwd = "/tmp".to_owned();
    process.env.push("X=y".to_owned());
    process.no_new_privileges = true;
    world.while_running(token, |container| {
        let (status, output) = run(token, container, &process).unwrap();
        assert_eq!(status, ExitStatus::Code(0));
        assert!(output.starts_with("1000\n50\n/tmp\n/home/user y\n"), "{output}");
        assert!(output.contains("NoNewPrivs:\t1"), "{output}");
        assert!(output.contains("CapEff:\t0000000000000000"), "{output}");
    });
}

/// Neither the caller's capabilities, which are all, nor any that a file could hand on.
fn capabilities(token: &SingleThreaded) {
    let mut world = World::new("");
    let given = process(&world, "grep Cap /proc/self/status");
    let none = Process { capabilities: None, ..given.clone() };
    world.while_running(token, |container| {
        let (_, output) = run(token, container, &given).unwrap();
        assert!(output.contains("CapInh:\t0000000000000000"), "{output}");
        assert!(output.contains("CapBnd:\t00000000a80425fb"), "{output}");
        let (_, output) = run(token, container, &none).unwrap();
        assert_eq!(output.matches(":\t0000000000000000").count(), 5, "{output}");
    });
}

fn failures(token: &SingleThreaded) {
    let mut world = World::new("");
    let missing = Process { args: vec!["nope".to_owned()], ..process(&world, "") };
    let directory = Process { cwd: "/nowhere".to_owned(), ..process(&world, "true") };
    world.while_running(token, |container| {
        let error = run(token, container, &missing).unwrap_err();
        assert_eq!(error.exit_code(), 127);
        assert!(text(&error).contains("executable file not found in $PATH"));
        // The terminal's hang-up must not come before the process's last word.
        let error = begin(token, container, &missing, Stdio::Terminal).unwrap_err();
        assert_eq!(error.exit_code(), 127, "{error:?}");
        let error = run(token, container, &directory).unwrap_err();
        assert_eq!(error.exit_code(), 127);
        assert!(
            text(&error).contains(
                "chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory"
            ),
            "{}",
            text(&error)
        );
    });
}

fn terminal(token: &SingleThreaded) {
    let mut world = World::new("");
    let process = process(&world, "tty; test -t 0 && test -t 1 && echo yes");
    world.while_running(token, |container| {
        let mut created = begin(token, container, &process, Stdio::Terminal).unwrap();
        created.start().unwrap();
        let output = read(created.terminal.take().unwrap());
        assert_eq!(output, "/dev/pts/0\nyes\n");
        assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(0));
    });
}

fn not_dumpable(token: &SingleThreaded) {
    let mut world = World::new("");
    let waiting = process(&world, "true");
    // Process 2 of the container is the one that waits at the gate.
    let looking = process(&world, "readlink /proc/2/exe || readlink /proc/2/fd/4 || echo denied");
    world.while_running(token, |container| {
        let (_output, stdio) = piped();
        let mut created = begin(token, container, &waiting, stdio).unwrap();
        let (_, output) = run(token, container, &looking).unwrap();
        assert!(output.contains("denied"), "{output}");
        assert!(!output.contains("/it"), "{output}");
        created.start().unwrap();
        created.process.wait().unwrap();
    });
}
