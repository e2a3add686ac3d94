//! Interfaces of the host that a container gets.

use std::os::fd::AsFd;

use linux::netlink::Batch;
use linux::process::{Namespaces, SingleThreaded};
use linux::route::{Socket, change};
use testkit::forked::Test;

use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("net_device::moves_with_its_addresses", moves),
    ("net_device::goes_to_a_joined_namespace", joined),
    ("net_device::needs_a_namespace_and_a_device", wrong),
];

/// In a network namespace of its own, with a pair of links of which one has addresses.
fn prepare(token: &SingleThreaded) {
    linux::process::unshare(token, Namespaces::NETWORK).unwrap();
    let mut socket = Socket::open().unwrap();
    let mut batch = Batch::new();
    let here = linux::process::open_own(Namespaces::NETWORK).unwrap();
    let bridge = change::Bridge { name: "test0", mac: [2, 0, 0, 0, 0, 9], mtu: 1400, group: 0 };
    change::add_bridge(&mut batch, bridge);
    socket.execute(&mut batch, "test0").unwrap();
    let master = socket.link("test0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    change::add_veth(
        &mut batch,
        change::Veth {
            name: "peer",
            master,
            group: 0,
            mtu: 1400,
            peer: "dev0",
            peer_mac: [2, 0, 0, 0, 0, 7],
            namespace: here.as_fd(),
        },
    );
    socket.execute(&mut batch, "dev0").unwrap();
    let link = socket.link("dev0").unwrap().unwrap().index;
    let mut batch = Batch::new();
    for address in ["192.0.2.5/24", "2001:db8::5/64"] {
        change::add_address(&mut batch, link, address.parse().unwrap());
    }
    change::set_up(&mut batch, link);
    socket.execute(&mut batch, "dev0").unwrap();
}

const SHOW: &str = "busybox ip -o address show dev data; cat /sys/class/net/data/address \
                    /sys/class/net/data/mtu /sys/class/net/data/operstate";

fn assert_shown(output: &str) {
    for expected in
        ["inet 192.0.2.5/24", "inet6 2001:db8::5/64", "02:00:00:00:00:07\n1400\n", "scope global"]
    {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    assert!(!output.contains("down"), "{output}");
}

fn moves(token: &SingleThreaded) {
    prepare(token);
    let mut world = World::new(SHOW);
    world.linux().net_devices = serde_json::from_str(r#"{"dev0":{"name":"data"}}"#).unwrap();
    assert_shown(&world.output(token));
}

fn joined(token: &SingleThreaded) {
    prepare(token);
    let mut first = World::new("");
    first.while_running(token, |container| {
        let mut world = World::new(SHOW);
        let path = format!("/proc/{}/ns/net", container.process.pid().as_raw_nonzero());
        let namespaces = &mut world.linux().namespaces;
        let network =
            |one: &&mut oci::runtime::Namespace| one.kind == oci::runtime::NamespaceKind::Network;
        namespaces.iter_mut().find(network).unwrap().path = Some(path);
        world.linux().net_devices = serde_json::from_str(r#"{"dev0":{"name":"data"}}"#).unwrap();
        assert_shown(&world.output(token));
    });
}

fn wrong(token: &SingleThreaded) {
    let mut world = World::new("true");
    world.linux().net_devices = serde_json::from_str(r#"{"none0":{}}"#).unwrap();
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("find network interface none0: No such device"), "{error}");
    world.assert_gone();
    world.linux().namespaces.retain(|one| one.kind != oci::runtime::NamespaceKind::Network);
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("netDevices"), "{error}");
}
