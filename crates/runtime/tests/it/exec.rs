//! Further processes in a running container.

use linux::process::{ExitStatus, SingleThreaded};
use oci::runtime::Process;
use runtime::{Confinement, Created, Error, ExecRequest, Stdio};
use testkit::forked::Test;

use crate::hardening::own_program_in;
use crate::world::{World, piped, read, text};

pub(crate) const TESTS: &[Test] = &[
    ("exec::joins_namespaces_and_control_groups", joins),
    ("exec::user_directory_and_environment", user),
    ("exec::has_the_capabilities_asked_for_and_no_others", capabilities),
    ("exec::has_nothing_of_the_host_when_it_can_be_seen", bare),
    ("exec::joins_the_session_keyring_of_the_container", keyring),
    ("exec::has_the_filter_with_and_without_new_privileges", filtered),
    ("exec::our_program_cannot_be_overwritten", own_program),
    ("exec::working_directory_cannot_be_a_descriptor", working_directory),
    ("exec::failures_have_their_exit_codes", failures),
    ("exec::is_launched_without_waiting", launched),
    ("exec::gets_a_terminal", terminal),
    ("exec::cannot_be_looked_into_before_its_program_runs", not_dumpable),
];

pub(crate) fn process(world: &World, script: &str) -> Process {
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
    begin_confined(token, container, process, stdio, Confinement::default())
}

fn begin_confined(
    token: &SingleThreaded,
    container: &Created,
    process: &Process,
    stdio: Stdio,
    confinement: Confinement<'_>,
) -> Result<Created, Error> {
    runtime::exec(token, ExecRequest { confinement, ..request(container, process, stdio) })
}

fn request<'a>(container: &'a Created, process: &'a Process, stdio: Stdio) -> ExecRequest<'a> {
    ExecRequest {
        id: "exec",
        state: None,
        target: &container.process,
        process,
        confinement: Confinement::default(),
        stdio,
        cgroup: container.cgroup.as_ref(),
        preserve_descriptors: 0,
        has_own_keyring: true,
    }
}

pub(crate) fn run(
    token: &SingleThreaded,
    container: &Created,
    process: &Process,
) -> Result<(ExitStatus, String), Error> {
    run_confined(token, container, process, Confinement::default())
}

pub(crate) fn run_confined(
    token: &SingleThreaded,
    container: &Created,
    process: &Process,
    confinement: Confinement<'_>,
) -> Result<(ExitStatus, String), Error> {
    let (output, stdio) = piped();
    let mut created = begin_confined(token, container, process, stdio, confinement)?;
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

/// The caller hears which process it is, and at the end whether it was the program.
fn launched(token: &SingleThreaded) {
    let mut world = World::new("");
    let good = process(&world, "exit 9");
    let missing = Process { args: vec!["nope".to_owned()], ..process(&world, "") };
    world.while_running(token, |container| {
        let launch = |process: &Process, known: Result<(), Error>| {
            let (_output, stdio) = piped();
            let starting = runtime::begin(token, request(container, process, stdio)).unwrap();
            starting.launch(|_| known)
        };
        let created = launch(&good, Ok(())).unwrap();
        assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(9));
        created.verdict().unwrap();
        let created = launch(&missing, Ok(())).unwrap();
        assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(1));
        assert_eq!(created.verdict().unwrap_err().exit_code(), 127);
        let refused = Error::NotFound { id: "x".to_owned() };
        assert!(matches!(launch(&good, Err(refused)), Err(Error::NotFound { .. })));
        let others = rustix::process::wait(rustix::process::WaitOptions::NOHANG).unwrap();
        assert!(others.is_none(), "only the container is left: {others:?}");
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

/// Whoever is in the container may look at a process of it when it has `CAP_SYS_PTRACE`.
fn bare(token: &SingleThreaded) {
    let mut world = World::new("");
    let process = process(&world, "ls /proc/self/fd | wc -l; readlink /proc/self/cwd");
    world.while_running(token, |container| {
        let (output, stdio) = piped();
        let mut created = begin(token, container, &process, stdio).unwrap();
        let of = |process: &Created| format!("/proc/{}", process.process.pid().as_raw_nonzero());
        let namespace = |process: &Created, name: &str| {
            std::fs::read_link(format!("{}/ns/{name}", of(process))).unwrap()
        };
        for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            assert_eq!(namespace(&created, name), namespace(container, name));
        }
        // Three streams, and the channel to its caller.
        let open = std::fs::read_dir(format!("{}/fd", of(&created))).unwrap();
        let open = open.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap());
        let open: Vec<String> = open.map(|path| path.display().to_string()).collect();
        let is_known = |path: &String| {
            path == "/dev/null" || path.starts_with("pipe:") || path.starts_with("socket:")
        };
        assert!(open.len() == 4 && open.iter().all(is_known), "{open:?}");
        created.start().unwrap();
        // The fourth is the directory that is listed.
        assert_eq!(read(output), "4\n/\n");
        created.process.wait().unwrap();
    });
}

fn keyring(token: &SingleThreaded) {
    let mut world = World::new("");
    world.linux().masked_paths.clear();
    let id = world.id.clone();
    let process = process(&world, &format!("grep -F ' _ses.{id}:' /proc/keys"));
    world.while_running(token, |container| {
        let seen = || {
            let (output, stdio) = piped();
            let request = ExecRequest {
                id: &id,
                state: None,
                target: &container.process,
                process: &process,
                confinement: Confinement::default(),
                stdio,
                cgroup: container.cgroup.as_ref(),
                preserve_descriptors: 0,
                has_own_keyring: true,
            };
            let mut created = runtime::exec(token, request).unwrap();
            created.start().unwrap();
            created.process.wait().unwrap();
            let output = read(output);
            let serial = output.split_once(' ').map(|(serial, _)| serial.to_owned());
            assert_eq!(output.lines().count(), 1, "{output}");
            serial.unwrap()
        };
        assert_eq!(seen(), seen());
    });
}

/// CVE-2019-5736, the second way: whoever enters a container runs what its `/proc/self/exe` is.
fn own_program(token: &SingleThreaded) {
    let mut world = World::new("");
    let commands = own_program_in(&mut world);
    let mut process = process(&world, "");
    world.while_running(token, |container| {
        for command in commands {
            process.args = vec![command.to_owned()];
            let (_, output) = run(token, container, &process).unwrap();
            assert_eq!(output, format!("{:?}\n", rustix::io::Errno::ROFS), "{command}");
        }
    });
}

/// CVE-2024-21626.
fn working_directory(token: &SingleThreaded) {
    let _host = std::fs::File::open("/").unwrap();
    let mut world = World::new("");
    let mut process = process(&world, "pwd; ls");
    world.while_running(token, |container| {
        for number in 3..20 {
            process.cwd = format!("/proc/self/fd/{number}");
            assert!(run(token, container, &process).is_err(), "{number}");
        }
    });
}

fn filtered(token: &SingleThreaded) {
    let mut world = World::new("");
    let rule = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    let filter = serde_json::from_str(rule).unwrap();
    let mut process = process(
        &world,
        "grep -E 'Seccomp:|NoNewPrivs:' /proc/self/status; mkdir /tmp/x && echo made",
    );
    world.while_running(token, |container| {
        for no_new_privileges in [false, true] {
            process.no_new_privileges = no_new_privileges;
            let (output, stdio) = piped();
            let request = ExecRequest {
                id: "exec",
                state: None,
                target: &container.process,
                process: &process,
                confinement: Confinement { seccomp: Some(&filter), ..Confinement::default() },
                stdio,
                cgroup: None,
                preserve_descriptors: 0,
                has_own_keyring: true,
            };
            let mut created = runtime::exec(token, request).unwrap();
            created.start().unwrap();
            created.process.wait().unwrap();
            let wanted = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(no_new_privileges));
            let output = read(output);
            assert!(output.starts_with(&wanted) && output.contains("not implemented"), "{output}");
        }
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
