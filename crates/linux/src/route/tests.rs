//! Effects in namespaces made for the test.

use std::os::fd::AsFd;

use super::{Socket, change};
use crate::namespace;
use crate::netlink::Batch;

#[test]
fn a_pair_joins_a_bridge_and_another_namespace() {
    namespace::in_new_network(|_home| {
        let mut socket = Socket::open().unwrap();
        let mut batch = Batch::new();
        let bridge =
            change::Bridge { name: "brig-test", mac: [2, 0, 0, 0, 0, 1], mtu: 1400, group: 77 };
        change::add_bridge(&mut batch, bridge);
        change::disable_automatic_addresses(&mut batch, "brig-test");
        change::set_up_by_name(&mut batch, "brig-test");
        socket.execute(&mut batch, "brig-test").unwrap();
        let master = socket.link("brig-test").unwrap().unwrap();
        assert_eq!((master.mtu, master.group, master.up), (1400, 77, true));
        assert_eq!(master.mac, Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(master.kind.as_deref(), Some("bridge"));

        let other = namespace::in_new_network(|descriptor| descriptor).unwrap();
        let mut batch = Batch::new();
        let veth = change::Veth {
            name: "vtest",
            master: master.index,
            group: 78,
            mtu: 1400,
            peer: "eth0",
            peer_mac: [2, 0, 0, 0, 0, 9],
            namespace: other.as_fd(),
        };
        change::add_veth(&mut batch, veth);
        socket.execute(&mut batch, "vtest").unwrap();
        let link = socket.link("vtest").unwrap().unwrap();
        assert_eq!((link.master, link.group, link.up), (Some(master.index), 78, true));

        namespace::in_network(&other, || {
            let mut socket = Socket::open().unwrap();
            let index = socket.link("eth0").unwrap().unwrap().index;
            let mut batch = Batch::new();
            change::set_up_by_name(&mut batch, "lo");
            change::disable_automatic_addresses(&mut batch, "eth0");
            change::set_mac(&mut batch, index, [2, 0, 0, 0, 0, 2]);
            change::set_up(&mut batch, index);
            change::add_address(&mut batch, index, "10.1.2.3/24".parse().unwrap());
            change::add_address(&mut batch, index, "fd00::3/64".parse().unwrap());
            change::add_default_route(&mut batch, index, "10.1.2.1".parse().unwrap());
            change::add_default_route(&mut batch, index, "fd00::1".parse().unwrap());
            socket.execute(&mut batch, "eth0").unwrap();
            let addresses: Vec<_> = socket
                .addresses()
                .unwrap()
                .iter()
                .filter(|address| address.link == index)
                .map(|address| address.address.to_string())
                .collect();
            assert_eq!(addresses, ["10.1.2.3/24", "fd00::3/64"]);
            let defaults = socket.routes().unwrap();
            let defaults: Vec<_> = defaults
                .iter()
                .filter(|route| route.destination.prefix_len() == 0)
                .map(|route| route.gateway.unwrap().to_string())
                .collect();
            assert_eq!(defaults, ["10.1.2.1", "fd00::1"]);
        })
        .unwrap();

        let mut batch = Batch::new();
        change::delete_group(&mut batch, 78);
        socket.execute(&mut batch, "group 78").unwrap();
        assert_eq!(socket.link("vtest").unwrap(), None);
    })
    .unwrap();
}

#[test]
fn errors_carry_the_kernels_sentence() {
    namespace::in_new_network(|_home| {
        let mut socket = Socket::open().unwrap();
        let mut batch = Batch::new();
        let bridge = change::Bridge { name: "same", mac: [2, 0, 0, 0, 0, 1], mtu: 1500, group: 0 };
        change::add_bridge(&mut batch, bridge);
        change::add_bridge(&mut batch, bridge);
        change::add_default_route(&mut batch, 1, "10.1.2.1".parse().unwrap());
        let error = socket.execute(&mut batch, "same").unwrap_err();
        assert_eq!(error.errno(), Some(rustix::io::Errno::EXIST));
        assert_eq!(error.to_string(), "create bridge same");
        let mut batch = Batch::new();
        change::add_default_route(&mut batch, 1, "10.1.2.1".parse().unwrap());
        let error = socket.execute(&mut batch, "10.1.2.1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "add default route by 10.1.2.1 (Nexthop has invalid gateway)"
        );
    })
    .unwrap();
}
