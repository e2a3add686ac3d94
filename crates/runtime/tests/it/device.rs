//! What lies in `/dev`.

use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::World;

pub(crate) const TESTS: &[Test] = &[
    ("device::default_nodes_and_links", defaults),
    ("device::configured_nodes", configured),
    ("device::others_are_denied", denied),
];

fn defaults(token: &SingleThreaded) {
    let world = World::new(
        "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a %u' /dev/$d; done; \
         for l in fd stdin stdout stderr ptmx core; do readlink /dev/$l; done; \
         echo x > /dev/null && head -c 3 /dev/zero | wc -c",
    );
    let core = if std::path::Path::new("/proc/kcore").exists() { "/proc/kcore\n" } else { "" };
    assert_eq!(
        world.output(token).replacen(core, "", 1),
        "/dev/null 1:3 666 0\n/dev/zero 1:5 666 0\n/dev/full 1:7 666 0\n/dev/random 1:8 666 0\n\
         /dev/urandom 1:9 666 0\n/dev/tty 5:0 666 0\n/proc/self/fd\n/proc/self/fd/0\n\
         /proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n3\n"
    );
}

fn configured(token: &SingleThreaded) {
    let mut world = World::new("stat -c '%t:%T %a %u:%g' /dev/net/tun /dev/pipe");
    world.linux().devices = serde_json::from_str(
        r#"[{"type":"c","path":"/dev/net/tun","major":10,"minor":200,"fileMode":432,"uid":7,"gid":8},
            {"type":"p","path":"/dev/pipe","fileMode":384}]"#,
    )
    .unwrap();
    assert_eq!(world.output(token), "a:c8 660 7:8\n0:0 600 0:0\n");
}

fn denied(token: &SingleThreaded) {
    let world =
        World::new("mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null count=1 2>&1; exit 0");
    let output = world.output(token);
    assert!(output.contains("Operation not permitted"), "{output}");
}
