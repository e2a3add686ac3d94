//! Hooks: when, where and as whom they are run, and what becomes of their failures.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use linux::process::SingleThreaded;
use oci::runtime::{Hook, Hooks, State, Status};
use testkit::forked::Test;

use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("hook::order_and_places", order),
    ("hook::the_containers_process_sees_its_mounts_at_the_bundle", mounts),
    ("hook::start_container_has_the_programs_rights", rights),
    ("hook::a_failure_is_told_and_nothing_stays", failure),
    ("hook::time_is_limited", time),
    ("hook::streams_do_not_block", streams),
    ("hook::wrong_ones_are_refused", wrong),
];

fn shell(script: &str) -> Hook {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".to_owned(), args, ..Hook::default() }
}

fn hooks(world: &mut World) -> &mut Hooks {
    world.spec.hooks.get_or_insert_with(Hooks::default)
}

/// The journal of all hooks, a directory that the container has as `/journal`.
fn journal(world: &mut World) -> PathBuf {
    let directory = world.directory.path().join("journal");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();
    let source = directory.to_str().unwrap().to_owned();
    world.mount("/journal", "bind", &source, &["bind"]);
    directory
}

/// Writes its kind, directory, environment and namespaces, and keeps its state.
fn write_down(kind: &str, journal: &Path) -> Hook {
    let journal = journal.display();
    let script = format!(
        "cat > {journal}/{kind}; n=/proc/self/ns; \
         echo {kind} $PWD $(readlink $n/mnt) $(readlink $n/pid) $(env | grep -c ^A=) >> {journal}/all"
    );
    Hook { env: vec!["A=1".to_owned(), "PATH=/bin:/usr/bin".to_owned()], ..shell(&script) }
}

fn state(journal: &Path, kind: &str) -> State {
    serde_json::from_slice(&fs::read(journal.join(kind)).unwrap()).unwrap()
}

fn order(token: &SingleThreaded) {
    let mut world = World::new("echo program >> /journal/all");
    let journal = journal(&mut world);
    let inside = Path::new("/journal");
    let hooks = hooks(&mut world);
    hooks.prestart = vec![write_down("prestart", &journal)];
    hooks.create_runtime = vec![write_down("createRuntime", &journal)];
    hooks.create_container = vec![write_down("createContainer", &journal)];
    hooks.start_container = vec![write_down("startContainer", inside)];
    world.spec.annotations.insert("a".to_owned(), "b".to_owned());
    assert_eq!(world.output(token), "");

    let all = fs::read_to_string(journal.join("all")).unwrap();
    let lines: Vec<Vec<&str>> = all.lines().map(|line| line.split(' ').collect()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    let expected = ["prestart", "createRuntime", "createContainer", "startContainer", "program"];
    assert_eq!(kinds, expected);
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let bundle = world.directory.path().to_str().unwrap();
    let root = world.root();
    for (line, is_callers) in lines[..4].iter().zip([true, true, false, false]) {
        assert_eq!(
            Path::new(line[1]),
            match line[0] {
                "startContainer" => Path::new("/"),
                "createContainer" => &root,
                _ => Path::new(bundle),
            }
        );
        assert_eq!(own("mnt") == Path::new(line[2]), is_callers, "{line:?}");
        assert_eq!(own("pid") == Path::new(line[3]), is_callers, "{line:?}");
        assert_eq!(line[4], "1");
    }
    for (kind, status, is_first) in [
        ("prestart", Status::Creating, false),
        ("createRuntime", Status::Creating, false),
        ("createContainer", Status::Creating, true),
        ("startContainer", Status::Created, true),
    ] {
        let state = state(&journal, kind);
        assert_eq!((state.status, state.pid == 1), (status, is_first), "{kind}");
        assert_eq!((state.id.as_str(), state.bundle.as_str()), (world.id.as_str(), bundle));
        assert_eq!(state.annotations["a"], "b");
    }
}

fn mounts(token: &SingleThreaded) {
    let mut world = World::new("cat /made");
    hooks(&mut world).create_container =
        vec![shell("test -e ../rootfs/proc/self/status && echo made > made")];
    let output = world.output(token);
    assert_eq!(output, "made\n");
}

fn rights(token: &SingleThreaded) {
    let mut world = World::new("true");
    let journal = journal(&mut world);
    world.process().user.uid = 1000;
    world.process().no_new_privileges = true;
    world.linux().seccomp = Some(oci::runtime::Seccomp {
        default_action: "SCMP_ACT_ALLOW".to_owned(),
        syscalls: serde_json::from_str(r#"[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]"#)
            .unwrap(),
        ..Default::default()
    });
    hooks(&mut world).start_container = vec![shell(
        "(/bin/id -u; /bin/grep -E 'CapEff|Seccomp:' /proc/self/status) > /journal/who",
    )];
    let output = world.output(token);
    assert_eq!(output, "");
    let who = fs::read_to_string(journal.join("who")).unwrap();
    assert_eq!(who, "1000\nCapEff:\t0000000000000000\nSeccomp:\t2\n");
}

fn failure(token: &SingleThreaded) {
    type Place = fn(&mut Hooks) -> &mut Vec<Hook>;
    let places: [(&str, Place); 4] = [
        ("prestart", |hooks| &mut hooks.prestart),
        ("createRuntime", |hooks| &mut hooks.create_runtime),
        ("createContainer", |hooks| &mut hooks.create_container),
        ("startContainer", |hooks| &mut hooks.start_container),
    ];
    for (kind, place) in places {
        let mut world = World::new("true");
        let failing = [shell("true"), shell("echo why >&2; exit 3"), shell("touch /never")];
        *place(hooks(&mut world)) = failing.to_vec();
        let error = text(&world.run(token).unwrap_err());
        let expected = format!("error running {kind} hook #1: exit status 3, output: why");
        assert!(error.contains(&expected), "{error}");
        assert!(!Path::new("/never").exists() && !world.root().join("never").exists());
        if kind != "startContainer" {
            world.assert_gone();
        }
        *place(hooks(&mut world)) = vec![Hook { path: "/not/there".to_owned(), ..Hook::default() }];
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains("hook #0: /not/there: No such file"), "{error}");
    }
}

fn time(token: &SingleThreaded) {
    let mut world = World::new("true");
    let mark = world.directory.path().join("mark");
    let script = format!("exec 9> {}; exec sleep 1000", mark.display());
    hooks(&mut world).prestart = vec![Hook { timeout: Some(1), ..shell(&script) }];
    let begun = Instant::now();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("hook ran past specified timeout of 1 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(mark.exists());
    world.assert_gone();
}

fn streams(token: &SingleThreaded) {
    let mut world = World::new("true");
    // More than a pipe holds, in both directions, and a descendant that keeps the pipe.
    world.spec.annotations.insert("large".to_owned(), "x".repeat(200_000));
    hooks(&mut world).create_runtime =
        vec![shell("head -c 1000000 /dev/zero"), shell("sleep 1000 & echo $! > descendant")];
    assert_eq!(world.output(token), "");
    let descendant = fs::read_to_string(world.directory.path().join("descendant")).unwrap();
    let pid = rustix::process::Pid::from_raw(descendant.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn wrong(token: &SingleThreaded) {
    for hook in [
        Hook { path: "relative".to_owned(), ..Hook::default() },
        Hook { path: "/bin/true".to_owned(), timeout: Some(0), ..Hook::default() },
        Hook { env: vec!["A".to_owned()], ..shell("true") },
    ] {
        let mut world = World::new("true");
        hooks(&mut world).poststop = vec![hook];
        assert_eq!(world.run(token).unwrap_err().kind(), stdx::ErrorKind::InvalidInput);
    }
}
