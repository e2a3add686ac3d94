//! Golden tests: what `nft list` reads back.

use expect_test::{Expect, expect};
use rustix::io::Errno;

use super::*;
use crate::namespace;

fn table() -> Table {
    Table { family: Family::Inet, name: "brig-test".to_owned() }
}

fn listed() -> String {
    let output =
        stdx::process::output(stdx::process::command("nft").args(["-n", "list", "ruleset"]));
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn check(fill: impl FnOnce(&mut Transaction) + Send, expected: &Expect) {
    let listed = namespace::in_new_network(|_home| {
        let mut transaction = Transaction::new(&table());
        transaction.add_table();
        fill(&mut transaction);
        Socket::open().unwrap().commit(transaction).unwrap();
        listed()
    });
    expected.assert_eq(&listed.unwrap());
}

fn prerouting(kind: &'static str, priority: i32) -> Chain<'static> {
    Chain { name: "c", kind, hook: Hook::Prerouting, priority, policy: Policy::Accept }
}

const PORTS4: Set<'_> = Set {
    name: "ports4",
    key: &[DataType::Protocol, DataType::Ipv4Address, DataType::Port],
    data: &[DataType::Ipv4Address, DataType::Port],
};

fn key(port: u16) -> Key {
    Key::new().protocol(6).address("192.0.2.1".parse().unwrap()).port(port)
}

fn target(port: u16) -> Key {
    Key::new().address("172.17.0.2".parse().unwrap()).port(port)
}

#[test]
fn maps_translate_ports() {
    check(
        |transaction| {
            transaction.add_set(PORTS4);
            let name = "any6";
            let key_types = [DataType::Protocol, DataType::Port];
            let data = [DataType::Ipv6Address, DataType::Port];
            transaction.add_set(Set { name, key: &key_types, data: &data });
            transaction.add_chain(prerouting("nat", -100));
            let rule = Rule::new().family(IpFamily::V4);
            transaction.append_rule("c", &rule.destination_nat(IpFamily::V4, true, "ports4"));
            let rule = Rule::new().family(IpFamily::V6).destination_is_local();
            transaction.append_rule("c", &rule.destination_nat(IpFamily::V6, false, "any6"));
            transaction.add_element("ports4", &key(8080), Some(&target(80)));
            let data = Key::new().address("fd00::2".parse().unwrap()).port(53);
            transaction.add_element("any6", &Key::new().protocol(17).port(5353), Some(&data));
        },
        &expect![[r#"
            table inet brig-test {
            	map ports4 {
            		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
            		elements = { 6 . 192.0.2.1 . 8080 : 172.17.0.2 . 80 }
            	}

            	map any6 {
            		type inet_proto . inet_service : ipv6_addr . inet_service
            		elements = { 17 . 5353 : fd00::2 . 53 }
            	}

            	chain c {
            		type nat hook prerouting priority -100; policy accept;
            		dnat ip to meta l4proto . ip daddr . th dport map @ports4
            		meta nfproto 10 fib daddr type 2 dnat ip6 to meta l4proto . th dport map @any6
            	}
            }
        "#]],
    );
}

#[test]
fn rules_match_links_addresses_and_connections() {
    check(
        |transaction| {
            let name = "within";
            let types = [DataType::InterfaceName, DataType::InterfaceName];
            transaction.add_set(Set { name, key: &types, data: &[] });
            let types = [DataType::InterfaceName];
            transaction.add_set(Set { name: "links", key: &types, data: &[] });
            transaction.add_element("links", &Key::new().interface("brig-123456"), None);
            let pair = Key::new().interface("brig-123456").interface("brig-123456");
            transaction.add_element("within", &pair, None);
            transaction.add_chain(Chain {
                name: "c",
                kind: "filter",
                hook: Hook::Forward,
                priority: 0,
                policy: Policy::Drop,
            });
            let loopback = "127.0.0.0/8".parse().unwrap();
            let unique_local = "fd00:1::/64".parse().unwrap();
            let host = "::1/128".parse().unwrap();
            for rule in [
                Rule::new().interface(Direction::Source, false, "lo").verdict(Verdict::Drop),
                Rule::new().interface_in(Direction::Destination, "links").counter(),
                Rule::new().interfaces_in("within").verdict(Verdict::Accept),
                Rule::new().address(Direction::Destination, true, &loopback),
                Rule::new().address(Direction::Source, true, &unique_local),
                Rule::new().address(Direction::Destination, false, &host),
                Rule::new().state(State::EstablishedOrRelated),
                Rule::new().state(State::DestinationTranslated).verdict(Verdict::Accept),
            ] {
                transaction.append_rule("c", &rule);
            }
            let rule = Rule::new().verdict(Verdict::Accept);
            transaction.insert_rule("c", &rule, "of a test");
        },
        &expect![[r#"
            table inet brig-test {
            	set within {
            		type ifname . ifname
            		elements = { "brig-123456" . "brig-123456" }
            	}

            	set links {
            		type ifname
            		elements = { "brig-123456" }
            	}

            	chain c {
            		type filter hook forward priority 0; policy drop;
            		accept comment "of a test"
            		iifname != "lo" drop
            		oifname @links counter packets 0 bytes 0
            		iifname . oifname @within accept
            		ip daddr 127.0.0.0/8
            		ip6 saddr fd00:1::/64
            		ip6 daddr != ::1
            		ct state 0x2,0x4
            		ct status 0x20 accept
            	}
            }
        "#]],
    );
}

#[test]
fn masquerade_is_for_postrouting() {
    check(
        |transaction| {
            transaction.add_chain(Chain {
                name: "out",
                kind: "nat",
                hook: Hook::Postrouting,
                priority: 100,
                policy: Policy::Accept,
            });
            let network = "172.17.0.0/16".parse().unwrap();
            let rule = Rule::new()
                .address(Direction::Source, true, &network)
                .interface(Direction::Destination, false, "brig-123456")
                .masquerade();
            transaction.append_rule("out", &rule);
        },
        &expect![[r#"
            table inet brig-test {
            	chain out {
            		type nat hook postrouting priority 100; policy accept;
            		ip saddr 172.17.0.0/16 oifname != "brig-123456" masquerade
            	}
            }
        "#]],
    );
}

#[test]
fn elements_come_and_go_and_transactions_are_atomic() {
    namespace::in_new_network(|_home| {
        let mut socket = Socket::open().unwrap();
        let mut transaction = Transaction::new(&table());
        transaction.add_table();
        transaction.add_set(PORTS4);
        transaction.add_element("ports4", &key(1), Some(&target(80)));
        socket.commit(transaction).unwrap();
        assert_eq!(socket.tables().unwrap(), [table()]);

        let mut transaction = Transaction::new(&table());
        transaction.add_element("ports4", &key(2), Some(&target(80)));
        transaction.add_element("ports4", &key(1), Some(&target(81)));
        let error = socket.commit(transaction).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST));
        assert_eq!(error.to_string(), "add element in nftables table brig-test");

        let elements = socket.elements(&table(), "ports4").unwrap();
        let expected =
            Element { key: key(1).as_bytes().to_vec(), data: Some(target(80).as_bytes().to_vec()) };
        assert_eq!(elements, [expected]);

        let mut transaction = Transaction::new(&table());
        transaction.delete_element("ports4", &key(1));
        socket.commit(transaction).unwrap();
        assert_eq!(socket.elements(&table(), "ports4").unwrap(), []);
        let mut transaction = Transaction::new(&table());
        transaction.delete_element("ports4", &key(1));
        assert_eq!(socket.commit(transaction).unwrap_err().errno(), Some(Errno::NOENT));
        socket.commit(Transaction::new(&table())).unwrap();
    })
    .unwrap();
}

#[test]
fn a_labelled_rule_is_found_and_deleted_in_a_foreign_chain() {
    namespace::in_new_network(|_home| {
        let nft = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }; chain DOCKER-USER { return; }; }";
        stdx::process::output(stdx::process::command("nft").arg(nft)).unwrap();
        let mut socket = Socket::open().unwrap();
        let foreign = Table { family: Family::Ip, name: "filter".to_owned() };
        let chains = socket.base_chains().unwrap();
        assert_eq!(
            chains,
            [BaseChain {
                table: foreign.clone(),
                name: "FORWARD".to_owned(),
                hook: Hook::Forward,
                priority: 0,
                policy: Policy::Drop,
            }]
        );
        let mut transaction = Transaction::new(&foreign);
        let rule = Rule::new().interface(Direction::Source, true, "brig-123456").counter();
        transaction.insert_rule("DOCKER-USER", &rule.verdict(Verdict::Accept), "brig-123456");
        socket.commit(transaction).unwrap();
        let rules = socket.rules(&foreign, "DOCKER-USER").unwrap().unwrap();
        let comments: Vec<_> = rules.iter().map(|rule| rule.comment.as_deref()).collect();
        assert_eq!(comments, [Some("brig-123456"), None]);
        let mut transaction = Transaction::new(&foreign);
        transaction.delete_rule("DOCKER-USER", rules[0].handle);
        socket.commit(transaction).unwrap();
        assert_eq!(socket.rules(&foreign, "DOCKER-USER").unwrap().unwrap().len(), 1);
        assert_eq!(socket.rules(&foreign, "absent").unwrap(), None);
    })
    .unwrap();
}
