//! Users, groups, capabilities, user namespaces, names.

use linux::process::SingleThreaded;
use oci::runtime::{IdMapping, Namespace, NamespaceKind};
use testkit::forked::Test;

use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("identity::default_capabilities", capabilities),
    ("identity::a_process_that_asks_for_no_capabilities_has_none", no_capabilities),
    ("identity::a_plain_user_has_none", plain_user),
    ("identity::ambient_capabilities_reach_a_plain_user", ambient),
    ("identity::user_namespace", user_namespace),
    ("identity::sysctls_of_own_namespaces", sysctls),
    ("identity::names_need_a_namespace", names),
    ("identity::names_of_the_host_and_its_domain", own_names),
    ("identity::streams_belong_to_the_user", streams),
    ("identity::joins_a_pid_namespace", join_pid),
];

fn capabilities(token: &SingleThreaded) {
    let output = World::new("cat /proc/self/status").output(token);
    // Docker's fourteen.
    for (set, mask) in [
        ("CapInh", "0000000000000000"),
        ("CapPrm", "00000000a80425fb"),
        ("CapEff", "00000000a80425fb"),
        ("CapBnd", "00000000a80425fb"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert!(output.contains(&format!("{set}:\t{mask}")), "{set}: {output}");
    }
}

fn no_capabilities(token: &SingleThreaded) {
    let mut world = World::new("cat /proc/self/status");
    world.process().capabilities = None;
    let output = world.output(token);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(output.contains(&format!("{set}:\t0000000000000000")), "{set}: {output}");
    }
}

fn plain_user(token: &SingleThreaded) {
    let mut world = World::new("id -u; id -G; echo $HOME; umask; cat /proc/self/status");
    world.process().user =
        serde_json::from_str(r#"{"uid":1000,"gid":1000,"additionalGids":[5,6]}"#).unwrap();
    let output = world.output(token);
    assert!(output.starts_with("1000\n1000 5 6\n/home/user\n0022\n"), "{output}");
    assert!(output.contains("CapEff:\t0000000000000000"), "{output}");
    assert!(output.contains("CapPrm:\t0000000000000000"), "{output}");
}

fn ambient(token: &SingleThreaded) {
    let mut world = World::new("cat /proc/self/status");
    world.process().user.uid = 1000;
    let sets = world.process().capabilities.as_mut().unwrap();
    sets.ambient = vec!["CAP_KILL".to_owned()];
    sets.inheritable = vec!["CAP_KILL".to_owned()];
    let output = world.output(token);
    assert!(output.contains("CapAmb:\t0000000000000020"), "{output}");
    assert!(output.contains("CapEff:\t0000000000000020"), "{output}");
}

fn user_namespace(token: &SingleThreaded) {
    let mut world = World::new(
        "id -u; cat /proc/self/uid_map | tr -s ' '; stat -c %t:%T /dev/null; echo x > /dev/null; \
         mount | grep -c cgroup; echo no > /sys/fs/cgroup/pids/pids.max; echo done",
    );
    world.linux().namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    let map = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    world.linux().uid_mappings.clone_from(&map);
    world.linux().gid_mappings = map;
    let output = world.output(token);
    assert!(output.starts_with("0\n 0 100000 65536\n1:3\n"), "{output}");
    assert!(output.ends_with("done\n"), "{output}");
}

fn sysctls(token: &SingleThreaded) {
    let host = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let mut world =
        World::new("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni");
    world.linux().sysctl =
        serde_json::from_str(r#"{"net.ipv4.ip_unprivileged_port_start":"5","kernel.shmmni":"77"}"#)
            .unwrap();
    assert_eq!(world.output(token), "5\n77\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), host);
    world.linux().sysctl = serde_json::from_str(r#"{"vm.swappiness":"5"}"#).unwrap();
    assert!(text(&world.run(token).unwrap_err()).contains("vm.swappiness"));
}

fn names(token: &SingleThreaded) {
    let mut world = World::new("true");
    world.linux().namespaces.retain(|namespace| namespace.kind != NamespaceKind::Uts);
    assert_eq!(world.run(token).unwrap_err().kind(), stdx::ErrorKind::InvalidInput);
}

fn own_names(token: &SingleThreaded) {
    let mut world = World::new("hostname; cat /proc/sys/kernel/domainname");
    world.spec.hostname = Some("inside".to_owned());
    world.spec.domainname = Some("lab.test".to_owned());
    assert_eq!(world.output(token), "inside\nlab.test\n");
}

fn streams(token: &SingleThreaded) {
    let mut world = World::new("echo again > /dev/stdout");
    world.process().user.uid = 1000;
    assert_eq!(world.output(token), "again\n");
}

fn join_pid(token: &SingleThreaded) {
    let mut first = World::new("");
    first.while_running(token, |container| {
        let mut second = World::new("ps | grep -c 'sleep 1000'; test $$ != 1 && echo second");
        let path = format!("/proc/{}/ns/pid", container.process.pid().as_raw_nonzero());
        for namespace in &mut second.linux().namespaces {
            if namespace.kind == NamespaceKind::Pid {
                namespace.path = Some(path.clone());
            }
        }
        let output = second.output(token);
        assert!(output.ends_with("second\n"), "{output}");
        assert!(!output.starts_with('0'), "{output}");
    });
    // The caller's own children are born where they were born before.
    assert_eq!(
        std::fs::read_link("/proc/self/ns/pid_for_children").unwrap(),
        std::fs::read_link("/proc/self/ns/pid").unwrap()
    );
}
