//! One test for each way out of a container that somebody once found in some runtime.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use linux::process::{PidFd, SingleThreaded};
use runtime::Stdio;
use testkit::forked::Test;

use crate::world::{World, piped, read, text};

pub(crate) const TESTS: &[Test] = &[
    ("hardening::our_program_cannot_be_overwritten", own_program),
    ("hardening::masks_use_the_hosts_null_device", null_device),
    ("hardening::dev_that_is_a_link_stays_inside", dev_link),
    ("hardening::proc_that_is_a_link_is_refused", proc_link),
    ("hardening::sys_that_is_a_link_is_refused", sys_link),
    ("hardening::nothing_is_mounted_into_proc_by_a_link", into_proc),
    ("hardening::descriptors_do_not_leak", descriptors),
    ("hardening::working_directory_cannot_be_a_descriptor", working_directory),
    ("hardening::working_directory_link_stays_inside", working_directory_link),
    ("hardening::mount_targets_stay_inside", mount_target),
    ("hardening::mount_targets_that_are_exchanged_stay_inside", exchanged_target),
    ("hardening::created_files_stay_inside", created_file),
    ("hardening::kernel_parameters_cannot_be_redirected", redirected_parameters),
    ("hardening::masks_stay_on_their_targets", mask_link),
    ("hardening::passwd_link_is_not_followed_out", passwd_link),
    ("hardening::waiting_process_cannot_be_looked_into", looked_into),
    ("hardening::no_release_agent_can_be_set", release_agent),
    ("hardening::devices_that_are_made_cannot_be_opened", made_devices),
    ("hardening::the_callers_groups_and_capabilities_stay_with_it", inherited),
    ("hardening::id_maps_that_overlap_or_overflow_are_refused", wrong_maps),
    ("hardening::no_file_of_the_kernels_can_be_written", files_of_the_kernel),
    ("hardening::what_the_state_says_cannot_be_forged", forged_state),
];

/// Files of the kernel's that may be opened for writing: whoever does asks to be woken when the machine
/// is busy, and changes nothing.
const HARMLESS: [&str; 3] = ["/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory"];

pub(crate) const INSIDE: &str = "BRIG_TEST_INSIDE";

pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// This test's own program, started in a container as interpreter of a script.
pub(crate) fn inside() -> ExitCode {
    // Opening it would only say that it is busy now; what counts is what the mount allows later.
    match rustix::fs::access("/proc/self/exe", rustix::fs::Access::WRITE_OK) {
        Ok(()) => println!("writable"),
        Err(errno) => println!("{errno:?}"),
    }
    ExitCode::SUCCESS
}

/// Commands of which each is [`inside`].
pub(crate) fn own_program_in(world: &mut World) -> [&'static str; 2] {
    let script = world.root().join("script");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    world.process().env.push(format!("{INSIDE}=1"));
    ["/script", "/proc/self/exe"]
}

/// CVE-2019-5736: `/proc/self/exe` as program, or as interpreter, runs the runtime's own file.
fn own_program(token: &SingleThreaded) {
    let mut world = World::new("");
    for command in own_program_in(&mut world) {
        world.command(&[command]);
        assert_eq!(world.output(token), format!("{:?}\n", rustix::io::Errno::ROFS), "{command}");
    }
}

/// CVE-2025-31133: the image's `/dev/null` is a link.
fn null_device(token: &SingleThreaded) {
    let mut world = World::new("stat -c %F /proc/interrupts /proc/timer_list");
    world.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    symlink("/etc/passwd", world.root().join("dev/null")).unwrap();
    assert_eq!(world.output(token), "character special file\ncharacter special file\n");
}

/// CVE-2026-41579, CVE-2026-47766: the image's `/dev` is a link.
fn dev_link(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    let world = World::new("true");
    fs::remove_dir(world.root().join("dev")).unwrap();
    symlink(victim.path(), world.root().join("dev")).unwrap();
    let mut bare = World::new("true");
    bare.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    fs::remove_dir(bare.root().join("dev")).unwrap();
    symlink(format!("../../../../../..{}", victim.path().display()), bare.root().join("dev"))
        .unwrap();
    for world in [&world, &bare] {
        // Whether it runs or not, nothing comes to lie outside.
        drop(world.run(token));
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }
}

/// CVE-2023-27561: what is trusted in `/proc` must be the kernel's.
fn sys_link(token: &SingleThreaded) {
    let world = World::new("echo no");
    fs::remove_dir(world.root().join("sys")).unwrap();
    symlink("/tmp", world.root().join("sys")).unwrap();
    let error = world.run(token).unwrap_err();
    assert!(text(&error).contains("mount on link /sys"), "{}", text(&error));
}

fn into_proc(token: &SingleThreaded) {
    for (link, below) in [("/proc", ""), ("/proc", "/sys"), ("proc/self", "")] {
        let mut world = World::new("echo no");
        symlink(link, world.root().join("data")).unwrap();
        world.mount(&format!("/data{below}"), "tmpfs", "tmpfs", &[]);
        let error = world.run(token).unwrap_err();
        assert!(text(&error).contains("mount inside of /proc at /data"), "{}", text(&error));
    }
}

fn proc_link(token: &SingleThreaded) {
    let world = World::new("true");
    fs::remove_dir(world.root().join("proc")).unwrap();
    fs::create_dir(world.root().join("fake")).unwrap();
    symlink("fake", world.root().join("proc")).unwrap();
    let error = world.run(token).unwrap_err();
    assert!(text(&error).contains("mount on link /proc"), "{}", text(&error));
}

/// CVE-2024-21626, first half.
fn descriptors(token: &SingleThreaded) {
    let host = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&host, rustix::io::FdFlags::empty()).unwrap();
    let world = World::new("ls /proc/self/fd");
    assert_eq!(world.output(token), "0\n1\n2\n3\n");
}

/// CVE-2024-21626, second half.
fn working_directory(token: &SingleThreaded) {
    let _host = fs::File::open("/").unwrap();
    let mut world = World::new("pwd; ls");
    for number in 3..20 {
        world.process().cwd = format!("/proc/self/fd/{number}");
        assert!(world.run(token).is_err(), "{number}");
    }
    world.process().cwd = "/proc/1/cwd".to_owned();
    assert!(world.run(token).is_err());
}

fn working_directory_link(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    let mut world = World::new("pwd");
    symlink(victim.path(), world.root().join("linked")).unwrap();
    world.process().cwd = "/linked/deep".to_owned();
    let output = world.output(token);
    assert_eq!(output, format!("{}/deep\n", victim.path().display()), "the same path, inside");
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

/// CVE-2021-30465, CVE-2024-45310: links on the way to a mount's target.
fn mount_target(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    for link in [
        victim.path().display().to_string(),
        format!("../../../../../../..{}", victim.path().display()),
        "/proc/1/root".to_owned(),
        "/proc/self/cwd".to_owned(),
    ] {
        let mut world = World::new("echo x > /volume/below/file");
        symlink(&link, world.root().join("volume")).unwrap();
        world.mount("/volume/below", "tmpfs", "tmpfs", &[]);
        drop(world.run(token));
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0, "{link}");
    }
}

/// CVE-2025-24965: files made as targets of bind mounts.
fn created_file(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    let mut world = World::new("true");
    symlink(victim.path().join("file"), world.root().join("etc/hosts")).unwrap();
    world.mount("/etc/hosts", "bind", "/etc/passwd", &["bind"]);
    drop(world.run(token));
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

/// Somebody who exchanges two names until he is killed, or the test ends.
pub(crate) fn exchanged_for_ever(token: &SingleThreaded, one: &Path, other: &Path) -> PidFd {
    let exchange = || {
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill).unwrap();
        loop {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let here = rustix::fs::CWD;
            _ = rustix::fs::renameat_with(here, one, here, other, flags);
        }
    };
    linux::process::spawn(token, exchange).unwrap()
}

/// Somebody exchanges a directory for a link that leads out while mounts are made below it: at no
/// moment may anything be made where the link leads on the host.
fn exchanged_target(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    let mut world = World::new("true");
    let (directory, link) = (world.root().join("d"), world.root().join("l"));
    fs::create_dir(&directory).unwrap();
    symlink(victim.path(), &link).unwrap();
    let racer = exchanged_for_ever(token, &directory, &link);
    world.mount("/d/x/y", "tmpfs", "tmpfs", &[]);
    let file = world.directory.path().join("file");
    fs::write(&file, "").unwrap();
    world.mount("/d/file", "bind", file.to_str().unwrap(), &["bind"]);
    let results: Vec<bool> = (0..40).map(|_| world.run(token).is_ok()).collect();
    racer.signal(9).unwrap();
    racer.wait().unwrap();
    let made: Vec<_> = fs::read_dir(victim.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?} {results:?}");
}

/// CVE-2025-52881: something else is mounted where the parameter would be written.
fn redirected_parameters(token: &SingleThreaded) {
    let mut world = World::new("true");
    let fake = world.directory.path().join("fake");
    fs::write(&fake, "untouched").unwrap();
    let target = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    world.mount(target, "bind", fake.to_str().unwrap(), &["bind"]);
    world.linux().sysctl =
        [("net.ipv4.ip_unprivileged_port_start".to_owned(), "5".to_owned())].into();
    let error = world.run(token).unwrap_err();
    assert!(text(&error).contains("inside of /proc"), "{}", text(&error));
    assert_eq!(fs::read_to_string(&fake).unwrap(), "untouched");
}

/// A masked path whose way leads over links of the image.
fn mask_link(token: &SingleThreaded) {
    let victim = tempfile::tempdir().unwrap();
    fs::write(victim.path().join("secret"), "content").unwrap();
    let mut world = World::new("true");
    symlink(victim.path(), world.root().join("link")).unwrap();
    world.linux().masked_paths = vec!["/link/secret".to_owned(), "/link".to_owned()];
    world.linux().readonly_paths = vec!["/link".to_owned()];
    world.output(token);
    assert_eq!(fs::read_to_string(victim.path().join("secret")).unwrap(), "content");
}

/// The look-up of the user's home reads the image's files, and only those.
fn passwd_link(token: &SingleThreaded) {
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "root:x:0:0::/stolen:\n").unwrap();
    let world = World::new("echo $HOME");
    fs::remove_file(world.root().join("etc/passwd")).unwrap();
    symlink(outside.path(), world.root().join("etc/passwd")).unwrap();
    assert_eq!(world.output(token), "/\n");
}

/// CVE-2016-9962: while it waits at the gate, in a pid namespace it shares.
fn looked_into(token: &SingleThreaded) {
    let mut first = World::new("");
    first.while_running(token, |container| {
        let path = format!("/proc/{}/ns/pid", container.process.pid().as_raw_nonzero());
        let join = |world: &mut World| {
            for namespace in &mut world.linux().namespaces {
                if namespace.kind == oci::runtime::NamespaceKind::Pid {
                    namespace.path = Some(path.clone());
                }
            }
        };
        let mut waiting = World::new("true");
        join(&mut waiting);
        let (output, stdio): (_, Stdio) = piped();
        let mut created = waiting.create(token, stdio).unwrap();
        let mut looking =
            World::new("readlink /proc/2/exe || readlink /proc/2/fd/4 || echo denied");
        join(&mut looking);
        assert!(looking.output(token).contains("denied"));
        created.start().unwrap();
        created.process.wait().unwrap();
        created.cgroup.as_ref().unwrap().delete().unwrap();
        drop(read(output));
    });
}

/// CVE-2022-0492: a program of the host's that a control group has started.
fn release_agent(token: &SingleThreaded) {
    let world = World::new(
        "exec 2>/dev/null; find /sys/fs/cgroup -name release_agent; \
         mkdir /tmp/g && mount -t cgroup -o memory none /tmp/g && echo mounted; \
         mount -o remount,rw /sys/fs/cgroup && echo remounted; \
         for f in $(find /sys/fs/cgroup -name notify_on_release); do echo 1 > $f && echo $f; done; \
         echo done",
    );
    assert_eq!(world.output(token), "done\n");
}

/// The device rules hold for nodes that the container makes for itself.
fn made_devices(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>&1; cd /dev; mknod disk b 254 0; mknod mem c 1 1; mknod null2 c 1 3; \
         for name in disk mem null2; do head -c 1 $name > /dev/null && echo $name; done",
    );
    let output = world.output(token);
    assert!(output.contains("disk: Operation not permitted"), "{output}");
    assert!(output.contains("mem: Operation not permitted"), "{output}");
    assert!(output.ends_with("null2\n"), "{output}");
    // Without the capability not even the node.
    world.process().capabilities = None;
    assert!(world.run(token).unwrap().output.contains("mknod: disk: Operation not permitted"));
}

/// CVE-2022-24769, CVE-2022-29162: what the caller has by the way.
fn inherited(token: &SingleThreaded) {
    linux::process::set_groups(&[27, 44]).unwrap();
    let all = linux::capability::Set::permitted_here().unwrap();
    let sets = linux::capability::Sets {
        bounding: all,
        effective: all,
        permitted: all,
        inheritable: all,
        ambient: all,
    };
    linux::capability::set(&sets).unwrap();
    let mut world = World::new("id -G; grep -E 'CapInh|CapAmb' /proc/self/status");
    let nothing = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";
    assert_eq!(world.output(token), format!("0\n{nothing}"));
    world.process().user.uid = 1000;
    world.process().user.gid = 1000;
    assert_eq!(world.output(token), format!("1000\n{nothing}"));
    // In a user namespace, too, where those that are not mapped would be seen as 65534.
    let mut world = World::new("id -G; cat /proc/self/setgroups");
    in_user_namespace(&mut world, &[(0, 100_000, 1000)]);
    assert_eq!(world.output(token), "0\nallow\n");
}

/// With these maps of users and groups: in the container, on the host, how many.
fn in_user_namespace(world: &mut World, maps: &[(u32, u32, u32)]) {
    use oci::runtime::{IdMapping, Namespace, NamespaceKind};
    world.linux().namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    let map = |&(container_id, host_id, size)| IdMapping { container_id, host_id, size };
    let maps: Vec<IdMapping> = maps.iter().map(map).collect();
    world.linux().uid_mappings.clone_from(&maps);
    world.linux().gid_mappings = maps;
}

fn wrong_maps(token: &SingleThreaded) {
    let many: Vec<_> = (0..341).map(|number| (number * 2, number * 2, 1)).collect();
    for maps in [
        &[(0, 1000, 100), (50, 2000, 100)][..],
        &[(0, 1000, 100), (100, 1050, 100)],
        &[(0, 1000, 0)],
        &[(0, u32::MAX - 5, 10)],
        &[(u32::MAX - 5, 0, 10)],
        &[(0, 0, u32::MAX), (1, u32::MAX, 1)],
        &many,
    ] {
        let mut world = World::new("true");
        in_user_namespace(&mut world, maps);
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains("uid_map: Invalid argument"), "{maps:?}: {error}");
        world.assert_gone();
    }
}

/// Each file of the kernel's that can be opened for writing, as root with the usual capabilities, is
/// one of the container's own (CVE-2022-0811 and others).
fn files_of_the_kernel(token: &SingleThreaded) {
    let world = World::new(
        "exec 2> /dev/null; for f in $(find /proc /sys -type f -perm -200 ! -path '/proc/[0-9]*'); do \
         (: >> $f) && echo $f; done; true",
    );
    let output = world.output(token);
    let mut writable: Vec<&str> = output.lines().collect();
    writable.sort_unstable();
    assert_eq!(writable, HARMLESS, "{output}");
    let sizes = World::new("find /proc /sys -type f -perm -200 ! -path '/proc/[0-9]*' | wc -l");
    assert!(sizes.output(token).trim().parse::<usize>().unwrap() > 1000, "they were looked at");
}

/// Names and annotations of a configuration are data, wherever they are shown.
fn forged_state(token: &SingleThreaded) {
    let mut world = World::new("cat /told");
    let forged = "\"},\"status\":\"running\",\n\"pid\":1,\"x\":{\"".to_owned();
    world.spec.annotations.insert(forged.clone(), forged.clone());
    world.spec.hooks = Some(oci::runtime::Hooks {
        create_container: vec![oci::runtime::Hook {
            path: "/bin/sh".to_owned(),
            args: ["sh", "-c", "cat > told"].map(str::to_owned).to_vec(),
            env: vec!["PATH=/bin".to_owned()],
            timeout: None,
        }],
        ..Default::default()
    });
    let told: oci::runtime::State = serde_json::from_str(&world.output(token)).unwrap();
    assert_eq!(told.status, oci::runtime::Status::Creating);
    assert_eq!(told.annotations, [(forged.clone(), forged)].into());
}
