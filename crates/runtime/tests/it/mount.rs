//! Mounts and their options.

use std::fs;

use linux::cgroup::{Layout, Mode};
use linux::process::SingleThreaded;
use oci::runtime::{IdMapping, Namespace, NamespaceKind};
use testkit::forked::Test;

use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("mount::volumes_of_directories_and_files", volumes),
    ("mount::read_only_volume_with_mounts_below", recursive_read_only),
    ("mount::tmpfs_with_options", tmpfs),
    ("mount::read_only_root", read_only_root),
    ("mount::masked_and_read_only_paths", masks),
    ("mount::control_groups_are_read_only", cgroups),
    ("mount::propagation", propagation),
    ("mount::working_directory_is_made", working_directory),
    ("mount::ids_of_a_volume_are_mapped", mapped),
    ("mount::ids_are_mapped_as_the_containers_are", mapped_as_container),
    ("mount::what_cannot_be_mapped_is_told", not_mapped),
];

fn volumes(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>/dev/null; cat /data/file /etc/one; echo new > /data/new; echo x > /ro/x || echo refused; \
         grep ' /data ' /proc/self/mountinfo | cut -d' ' -f6",
    );
    let data = world.directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "content\n").unwrap();
    let source = data.to_str().unwrap().to_owned();
    world.mount("/data", "bind", &source, &["rbind", "rw", "nosuid", "nodev", "noexec"]);
    world.mount("/ro", "bind", &source, &["bind", "ro"]);
    // Relative to the bundle.
    world.mount("/etc/one", "none", "data/file", &["bind"]);
    let output = world.output(token);
    assert!(output.starts_with("content\ncontent\nrefused\nrw,nosuid,nodev,noexec"), "{output}");
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "new\n");
}

fn recursive_read_only(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>/dev/null; echo x > /proc2/self/comm || echo refused; \
         echo x > /open/self/comm && echo allowed",
    );
    world.mount("/open", "bind", "/proc", &["rbind"]);
    world.mount("/proc2", "bind", "/proc", &["rbind", "rro"]);
    assert_eq!(world.output(token), "refused\nallowed\n");
}

fn tmpfs(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>/dev/null; stat -c %a /scratch /copied /kept; cat /copied/deep/file; readlink /copied/link; \
         dd if=/dev/zero of=/scratch/big bs=1024 count=100 || echo full",
    );
    let root = world.root();
    fs::create_dir_all(root.join("copied/deep")).unwrap();
    fs::write(root.join("copied/deep/file"), "image\n").unwrap();
    std::os::unix::fs::symlink("deep/file", root.join("copied/link")).unwrap();
    fs::create_dir(root.join("kept")).unwrap();
    std::os::unix::fs::chown(root.join("kept"), None, None).unwrap();
    fs::set_permissions(root.join("kept"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    world.mount("/scratch", "tmpfs", "tmpfs", &["size=64k", "mode=1770", "noexec"]);
    world.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup", "mode=755"]);
    world.mount("/kept", "tmpfs", "tmpfs", &[]);
    assert_eq!(world.output(token), "1770\n755\n1777\nimage\ndeep/file\nfull\n");
}

fn read_only_root(token: &SingleThreaded) {
    let mut world =
        World::new("exec 2>/dev/null; touch /x || echo refused; touch /dev/shm/x && echo shm");
    world.spec.root.as_mut().unwrap().readonly = true;
    assert_eq!(world.output(token), "refused\nshm\n");
}

fn masks(token: &SingleThreaded) {
    let world = World::new(
        "exec 2>/dev/null; stat -c %t:%T /proc/timer_list; wc -c < /proc/timer_list; ls /sys/firmware | wc -l; \
         echo 0 > /proc/sys/kernel/shmmax || echo refused; \
         echo x > /proc/irq/default_smp_affinity || echo refused; touch /sys/firmware/x || echo refused",
    );
    assert_eq!(world.output(token), "1:3\n0\n0\nrefused\nrefused\nrefused\n");
}

fn cgroups(token: &SingleThreaded) {
    let is_unified = Layout::detect().unwrap().mode() == Mode::Unified;
    let (memory, pids) = if is_unified { (".", ".") } else { ("memory", "pids") };
    let world = World::new(&format!(
        "exec 2>/dev/null; cd /sys/fs/cgroup; ls; cat {memory}/cgroup.procs | head -n 1; \
         echo 1 > {pids}/pids.max || echo refused; mkdir x || echo refused",
    ));
    let output = world.output(token);
    let has = |name: &str| output.lines().any(|line| line == name);
    assert!(has(if is_unified { "memory.max" } else { "memory" }), "{output}");
    assert!(output.ends_with("1\nrefused\nrefused\n"), "{output}");
}

fn propagation(token: &SingleThreaded) {
    let mut world = World::new(
        "exec 2>/dev/null; cut -d' ' -f5,7 /proc/self/mountinfo | grep -E '^(/|/s|/p) '",
    );
    world.mount("/s", "bind", "/sys", &["bind", "rslave"]);
    world.mount("/p", "bind", "/sys", &["bind"]);
    world.linux().rootfs_propagation = Some("shared".to_owned());
    let output = world.output(token);
    assert!(output.lines().any(|line| line.starts_with("/ shared:")), "{output}");
    assert!(output.lines().any(|line| line == "/p -"), "{output}");
}

fn working_directory(token: &SingleThreaded) {
    let mut world = World::new("exec 2>/dev/null; pwd");
    world.process().cwd = "/made/for/it".to_owned();
    assert_eq!(world.output(token), "/made/for/it\n");
    assert!(world.root().join("made/for/it").is_dir());
}

/// A volume where a file of root's and one of another user's lie.
fn volume_with_owners(world: &World) -> String {
    let volume = world.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    for (name, owner) in [("root", 0), ("other", 7)] {
        fs::write(volume.join(name), name).unwrap();
        std::os::unix::fs::chown(volume.join(name), Some(owner), Some(owner)).unwrap();
    }
    volume.to_str().unwrap().to_owned()
}

fn map(container_id: u32, host_id: u32, size: u32) -> Vec<IdMapping> {
    vec![IdMapping { container_id, host_id, size }]
}

const OWNERS: &str = "cd /volume; stat -c %u:%g root other; echo new > new; stat -c %u:%g new";

fn mapped(token: &SingleThreaded) {
    for option in ["bind", "idmap"] {
        let mut world = World::new(OWNERS);
        let volume = volume_with_owners(&world);
        world.mount("/volume", "bind", &volume, &["bind", option]);
        let mount = world.spec.mounts.last_mut().unwrap();
        (mount.uid_mappings, mount.gid_mappings) = (map(0, 1000, 10), map(0, 2000, 10));
        world.process().user.uid = 1003;
        world.process().user.gid = 2003;
        fs::set_permissions(&volume, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(world.output(token), "1000:2000\n1007:2007\n1003:2003\n");
        let made = fs::metadata(format!("{volume}/new")).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 3);
    }
}

fn mapped_as_container(token: &SingleThreaded) {
    let mut world = World::new(OWNERS);
    let volume = volume_with_owners(&world);
    // The container's root could not make it.
    fs::create_dir(world.root().join("volume")).unwrap();
    world.mount("/volume", "bind", &volume, &["rbind", "ridmap"]);
    world.linux().namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    world.linux().uid_mappings = map(0, 100_000, 1000);
    world.linux().gid_mappings = map(0, 100_000, 1000);
    assert_eq!(world.output(token), "0:0\n7:7\n0:0\n");
    let made = fs::metadata(format!("{volume}/new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 0, "on disk it is root's");
}

fn not_mapped(token: &SingleThreaded) {
    let mut world = World::new("true");
    world.mount("/volume", "bind", "/tmp", &["bind", "idmap"]);
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("no id mappings"), "{error}");
    world.spec.mounts.last_mut().unwrap().uid_mappings = map(0, 1000, 10);
    assert!(text(&world.run(token).unwrap_err()).contains("gidMappings"));
    let mut world = World::new("true");
    world.mount("/volume", "tmpfs", "tmpfs", &["idmap"]);
    assert!(text(&world.run(token).unwrap_err()).contains("not bound"));
    // A file system that has no notion of it.
    let mut world = World::new("true");
    world.mount("/volume", "bind", "/proc", &["bind", "idmap"]);
    let mount = world.spec.mounts.last_mut().unwrap();
    (mount.uid_mappings, mount.gid_mappings) = (map(0, 1000, 10), map(0, 1000, 10));
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("map ids of a mount: Invalid argument"), "{error}");
}
