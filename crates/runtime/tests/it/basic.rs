//! A default container, from birth to exit.

use linux::cgroup::{Layout, Mode};
use linux::process::{ExitStatus, SingleThreaded};
use runtime::{Rootfs, Stdio};
use testkit::forked::Test;

use crate::world::{World, mounts, piped, read, text};

pub(crate) const TESTS: &[Test] = &[
    ("basic::runs_a_program_in_namespaces_of_its_own", own_namespaces),
    ("basic::exit_codes_and_signals_arrive", exit_status),
    ("basic::a_program_that_is_not_there_is_127", not_found),
    ("basic::a_program_that_cannot_be_run_is_126", not_executable),
    ("basic::waits_at_the_gate", gate),
    ("basic::an_unopened_gate_ends_the_process", abandoned),
    ("basic::a_gate_opened_early_is_not_waited_for", opened_early),
    ("basic::a_launched_program_is_judged_by_its_end", launched),
    ("basic::an_abandoned_birth_leaves_nothing", abandoned_birth),
    ("basic::runs_on_an_overlay", overlay),
    ("basic::limits_are_set", limits),
    ("basic::failure_leaves_nothing", nothing_left),
    ("basic::what_is_not_built_is_refused", refused),
    ("basic::versions_that_nobody_knows_are_refused", versions),
    ("basic::joins_a_network_namespace", join_network),
    ("basic::the_loopback_device_is_up", loopback),
];

fn own_namespaces(token: &SingleThreaded) {
    let before = mounts();
    let world =
        World::new("echo $$; hostname; pwd; echo $HOME; ls /sys/class/net; cat /proc/self/cgroup");
    let output = world.output(token);
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("1"));
    assert_eq!(lines.next(), Some("box"));
    assert_eq!(lines.next(), Some("/"));
    assert_eq!(lines.next(), Some("/root"));
    assert_eq!(lines.next(), Some("lo"));
    assert!(lines.all(|line| line.ends_with(":/")), "{output}");
    assert_eq!(mounts(), before, "the host's mounts are as they were");
}

/// In a new network namespace, also in one that belongs to a user namespace.
fn loopback(token: &SingleThreaded) {
    let mut world = World::new("cat /sys/class/net/lo/flags");
    assert_eq!(world.output(token), "0x9\n");
    let own = oci::runtime::Namespace { kind: oci::runtime::NamespaceKind::User, path: None };
    world.linux().namespaces.push(own);
    let map = oci::runtime::IdMapping { container_id: 0, host_id: 0, size: 1000 };
    world.linux().uid_mappings = vec![map];
    world.linux().gid_mappings = vec![map];
    assert_eq!(world.output(token), "0x9\n");
}

fn exit_status(token: &SingleThreaded) {
    assert_eq!(World::new("exit 7").run(token).unwrap().status, ExitStatus::Code(7));
    let killed = World::new("exec sleep 100");
    let (output, stdio) = piped();
    let mut created = killed.create(token, stdio).unwrap();
    created.start().unwrap();
    created.process.signal(9).unwrap();
    let status = created.process.wait().unwrap();
    assert_eq!(status, ExitStatus::Signal { number: 9, dumped: false });
    assert_eq!(read(output), "");
    created.cgroup.unwrap().delete().unwrap();
}

fn not_found(token: &SingleThreaded) {
    let mut world = World::new("");
    world.command(&["no-such-program"]);
    let error = world.run(token).unwrap_err();
    assert_eq!(error.exit_code(), 127);
    assert_eq!(
        text(&error),
        "unable to start container process: \
         exec: \"no-such-program\": executable file not found in $PATH"
    );
    std::fs::write(world.root().join("script"), "#!/no/such/interpreter\n").unwrap();
    make_executable(&world.root().join("script"));
    world.command(&["/script"]);
    assert_eq!(world.run(token).unwrap_err().exit_code(), 127);
}

fn not_executable(token: &SingleThreaded) {
    let mut world = World::new("");
    std::fs::write(world.root().join("text"), "text").unwrap();
    world.command(&["/text"]);
    let error = world.run(token).unwrap_err();
    assert_eq!(error.exit_code(), 126);
    assert!(text(&error).ends_with("exec: \"/text\": permission denied"), "{}", text(&error));
    make_executable(&world.root().join("text"));
    let error = world.run(token).unwrap_err();
    assert_eq!(error.exit_code(), 126);
    assert!(text(&error).ends_with("exec format error"), "{}", text(&error));
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn gate(token: &SingleThreaded) {
    let world = World::new("echo ran");
    let (output, stdio) = piped();
    let mut created = world.create(token, stdio).unwrap();
    assert_eq!(created.process.try_wait().unwrap(), None);
    created.start().unwrap();
    assert_eq!(read(output), "ran\n");
    assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(0));
    created.cgroup.unwrap().delete().unwrap();
}

fn abandoned(token: &SingleThreaded) {
    let world = World::new("echo ran");
    let (output, stdio) = piped();
    let runtime::Created { process, cgroup, .. } = {
        let mut created = world.create(token, stdio).unwrap();
        created.terminal = None;
        created
    };
    assert_eq!(process.wait().unwrap(), ExitStatus::Code(1));
    assert_eq!(read(output), "");
    cgroup.unwrap().delete().unwrap();
}

fn opened_early(token: &SingleThreaded) {
    let world = World::new("echo ran");
    let (output, stdio) = piped();
    let created = world.birth(token, stdio).start().unwrap();
    assert_eq!(read(output), "ran\n");
    assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(0));
    created.cgroup.unwrap().delete().unwrap();
    let mut missing = World::new("");
    missing.command(&["/not/there"]);
    assert_eq!(missing.birth(token, Stdio::Inherit).start().unwrap_err().exit_code(), 127);
    missing.assert_gone();
}

fn launched(token: &SingleThreaded) {
    let mut world = World::new("exit 1");
    let created = world.birth(token, Stdio::Inherit).launch().unwrap();
    assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(1));
    created.verdict().unwrap();
    created.cgroup.unwrap().delete().unwrap();
    world.command(&["/not/there"]);
    let created = world.birth(token, Stdio::Inherit).launch().unwrap();
    assert_eq!(created.process.wait().unwrap(), ExitStatus::Code(1));
    assert_eq!(created.verdict().unwrap_err().exit_code(), 127);
    created.cgroup.unwrap().delete().unwrap();
    world.assert_gone();
}

fn abandoned_birth(token: &SingleThreaded) {
    let before = mounts();
    let world = World::new("echo ran");
    let (output, stdio) = piped();
    world.birth(token, stdio).abandon();
    assert_eq!(read(output), "");
    assert_eq!(mounts(), before);
    world.assert_gone();
}

fn overlay(token: &SingleThreaded) {
    let world = World::new("echo new > /new; cat /new; rm /etc/passwd");
    let [upper, work] = ["upper", "work"].map(|name| world.directory.path().join(name));
    std::fs::create_dir(&upper).unwrap();
    std::fs::create_dir(&work).unwrap();
    let root = linux::mount::overlay(&linux::mount::OverlayOptions {
        lowers: &[world.root()],
        upper: Some(&upper),
        work: Some(&work),
        volatile: true,
        user_attributes: false,
    })
    .unwrap();
    let (output, stdio) = piped();
    let mut created = world.create_on(token, stdio, Rootfs::Mount(root)).unwrap();
    created.start().unwrap();
    assert_eq!(read(output), "new\n");
    created.process.wait().unwrap();
    created.cgroup.unwrap().delete().unwrap();
    assert!(upper.join("new").exists());
    assert!(world.root().join("etc/passwd").exists(), "the lower layer is as it was");
}

fn limits(token: &SingleThreaded) {
    let files = match Layout::detect().unwrap().mode() {
        Mode::Unified => "pids.max memory.max",
        Mode::Hybrid | Mode::Legacy => "pids/pids.max memory/memory.limit_in_bytes",
    };
    let mut world = World::new(&format!("cd /sys/fs/cgroup; cat {files}; ulimit -n; umask"));
    let text = r#"{"pids":{"limit":33},"memory":{"limit":67108864},"devices":[{"allow":false}]}"#;
    world.linux().resources = serde_json::from_str(text).unwrap();
    world.process().rlimits =
        serde_json::from_str(r#"[{"type":"RLIMIT_NOFILE","soft":100,"hard":200}]"#).unwrap();
    world.process().user.umask = Some(0o77);
    assert_eq!(world.output(token), "33\n67108864\n100\n0077\n");
}

fn nothing_left(token: &SingleThreaded) {
    let before = mounts();
    let mut world = World::new("true");
    world.mount("/etc/passwd/below", "tmpfs", "tmpfs", &[]);
    let error = world.run(token).unwrap_err();
    assert!(text(&error).contains("/etc/passwd/below"), "{}", text(&error));
    assert_eq!(error.exit_code(), 125);
    assert_eq!(mounts(), before);
    world.assert_gone();
}

fn refused(token: &SingleThreaded) {
    let mut world = World::new("true");
    world.linux().seccomp = Some(oci::runtime::Seccomp {
        default_action: "SCMP_ACT_NONSENSE".to_owned(),
        ..Default::default()
    });
    assert!(world.create(token, Stdio::Inherit).is_err());
    world.linux().seccomp = None;
    world.linux().intel_rdt = Some(oci::runtime::IntelRdt::default());
    let error = world.create(token, Stdio::Inherit).unwrap_err();
    assert_eq!(error.kind(), stdx::ErrorKind::Unsupported);
}

fn versions(token: &SingleThreaded) {
    let mut world = World::new("true");
    for (version, is_known) in
        [("1.0.2-dev", true), ("1.99.0", true), ("", true), ("2.0.0", false), ("x", false)]
    {
        world.spec.oci_version = version.to_owned();
        let result = world.run(token).map_err(|error| error.kind());
        assert_eq!(result.is_ok(), is_known, "{version}: {result:?}");
    }
}

fn join_network(token: &SingleThreaded) {
    let host = std::fs::read_link("/proc/self/ns/net").unwrap();
    let mut world = World::new("readlink /proc/self/ns/net");
    for namespace in &mut world.linux().namespaces {
        if namespace.kind == oci::runtime::NamespaceKind::Network {
            namespace.path = Some("/proc/self/ns/net".to_owned());
        }
    }
    assert_eq!(world.output(token).trim(), host.to_str().unwrap());
}
