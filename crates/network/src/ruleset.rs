//! The nftables table: rules for networks, map elements for published ports. Pure.
//!
//! ```text
//! raw prerouting    to 127.0.0.0/8 from elsewhere than lo: drop (what is published on loopback
//!                   would otherwise be translated for a neighbor who sends such packets)
//! nat prerouting,   destination in a map: translate; `bound*` are keyed by address,
//!     output        `any*` apply to every address of this host; `names*` lead from the gateway's
//!                   port 53 to the name service, for containers before anything published there
//! nat postrouting   container to itself or a neighbor by a host port, host's loopback to a
//!                   container: source becomes ours; container to elsewhere: masquerade
//! filter forward    into a bridge only: replies, published ports, the bridge's own traffic
//! ```
//! Rules change only with networks; a container costs map elements alone.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use linux::nftables::{
    Chain, DataType, Direction, Family, Hook, IpFamily, Key, Policy, Rule, Set, State, Table,
    Transaction, Verdict,
};

use crate::port::{PortBinding, Protocol};
use crate::record::{EndpointRecord, NetworkRecord};

const GUARD: &str = "guard";
const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
const POSTROUTING: &str = "postrouting";
const FORWARD: &str = "forward";
const BRIDGES: &str = "bridges";
const WITHIN: &str = "within";

/// The maps of published ports.
pub(crate) const MAPS: [&str; 4] = ["bound4", "any4", "bound6", "any6"];

/// The maps that lead to the name service.
pub(crate) const NAME_MAPS: [&str; 2] = ["names4", "names6"];

/// Where containers ask for names.
pub(crate) const NAME_PORT: u16 = 53;

/// The table of an instance.
pub(crate) fn table(instance: &str) -> Table {
    Table { family: Family::Inet, name: format!("brig-{instance}") }
}

/// One element of a map of published ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PortElement {
    pub(crate) map: &'static str,
    pub(crate) key: Key,
    pub(crate) target: Key,
}

/// The map elements of an endpoint's published ports.
pub(crate) fn elements(endpoint: &EndpointRecord) -> Vec<PortElement> {
    endpoint.ports.iter().filter_map(|port| element(endpoint, port)).collect()
}

/// `None` for what the kernel cannot translate: `::1`, and IPv6 to a container without it.
fn element(endpoint: &EndpointRecord, port: &PortBinding) -> Option<PortElement> {
    let [bound4, any4, bound6, any6] = MAPS;
    let (container, bound, any) = match port.host_address {
        IpAddr::V4(_) => (IpAddr::V4(endpoint.ipv4.addr()), bound4, any4),
        IpAddr::V6(address) if address.is_loopback() => return None,
        IpAddr::V6(_) => (IpAddr::V6(endpoint.ipv6?.addr()), bound6, any6),
    };
    let key = Key::new().protocol(port.protocol.number());
    let target = Key::new().address(container).port(port.container_port);
    let (map, key) = if port.host_address.is_unspecified() {
        (any, key.port(port.host_port))
    } else {
        (bound, key.address(port.host_address).port(port.host_port))
    };
    Some(PortElement { map, key, target })
}

/// The map element that leads to one socket of the name service, on an address of ours.
pub(crate) fn name_element(protocol: Protocol, socket: SocketAddr) -> PortElement {
    let [names4, names6] = NAME_MAPS;
    PortElement {
        map: if socket.is_ipv4() { names4 } else { names6 },
        key: Key::new().protocol(protocol.number()).address(socket.ip()).port(NAME_PORT),
        target: Key::new().address(socket.ip()).port(socket.port()),
    }
}

/// Makes the table, its maps, chains and rules; rules that were there are replaced, map elements
/// stay.
pub(crate) fn base(table: &Table, networks: &[NetworkRecord]) -> Transaction {
    let mut transaction = Transaction::new(table);
    transaction.add_table();
    sets(&mut transaction, networks);
    for chain in CHAINS {
        transaction.add_chain(chain);
        transaction.flush_chain(chain.name);
    }
    guard(&mut transaction);
    translate(&mut transaction);
    forward(&mut transaction);
    for network in networks {
        leave(&mut transaction, network);
    }
    transaction
}

const CHAINS: [Chain<'_>; 5] = [
    chain(GUARD, "filter", Hook::Prerouting, -300),
    chain(PREROUTING, "nat", Hook::Prerouting, -100),
    chain(OUTPUT, "nat", Hook::Output, -100),
    chain(POSTROUTING, "nat", Hook::Postrouting, 100),
    chain(FORWARD, "filter", Hook::Forward, 0),
];

const fn chain<'a>(name: &'a str, kind: &'a str, hook: Hook, priority: i32) -> Chain<'a> {
    Chain { name, kind, hook, priority, policy: Policy::Accept }
}

fn sets(transaction: &mut Transaction, networks: &[NetworkRecord]) {
    use DataType::{InterfaceName, Ipv4Address, Ipv6Address, Port, Protocol};
    let [bound4, any4, bound6, any6] = MAPS;
    let [names4, names6] = NAME_MAPS;
    let (data4, data6) = (&[Ipv4Address, Port], &[Ipv6Address, Port]);
    for set in [
        Set { name: bound4, key: &[Protocol, Ipv4Address, Port], data: data4 },
        Set { name: any4, key: &[Protocol, Port], data: data4 },
        Set { name: bound6, key: &[Protocol, Ipv6Address, Port], data: data6 },
        Set { name: any6, key: &[Protocol, Port], data: data6 },
        Set { name: names4, key: &[Protocol, Ipv4Address, Port], data: data4 },
        Set { name: names6, key: &[Protocol, Ipv6Address, Port], data: data6 },
        Set { name: BRIDGES, key: &[InterfaceName], data: &[] },
        Set { name: WITHIN, key: &[InterfaceName, InterfaceName], data: &[] },
    ] {
        transaction.add_set(set);
    }
    for name in [BRIDGES, WITHIN] {
        transaction.flush_set(name);
    }
    for network in networks {
        let link = &network.link;
        transaction.add_element(BRIDGES, &Key::new().interface(link), None);
        transaction.add_element(WITHIN, &Key::new().interface(link).interface(link), None);
    }
}

fn loopback() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert([127, 0, 0, 0].into(), 8))
}

fn guard(transaction: &mut Transaction) {
    let outside = || Rule::new().interface(Direction::Source, false, "lo");
    for direction in [Direction::Destination, Direction::Source] {
        let rule = outside().address(direction, true, &loopback()).counter().verdict(Verdict::Drop);
        transaction.append_rule(GUARD, &rule);
    }
}

fn translate(transaction: &mut Transaction) {
    let names = |rule: Rule, (family, map)| rule.family(family).destination_nat(family, true, map);
    let families = [IpFamily::V4, IpFamily::V6].into_iter().zip(NAME_MAPS);
    for family in families.clone() {
        let from_container = Rule::new().interface_in(Direction::Source, BRIDGES);
        transaction.append_rule(PREROUTING, &names(from_container, family));
    }
    for chain in [PREROUTING, OUTPUT] {
        published(transaction, chain);
    }
    for family in families {
        transaction.append_rule(OUTPUT, &names(Rule::new(), family));
    }
}

fn published(transaction: &mut Transaction, chain: &str) {
    let [bound4, any4, bound6, any6] = MAPS;
    for (family, bound, any) in [(IpFamily::V4, bound4, any4), (IpFamily::V6, bound6, any6)] {
        let rule = Rule::new().family(family).destination_nat(family, true, bound);
        transaction.append_rule(chain, &rule);
        let rule = match family {
            IpFamily::V4 => Rule::new().family(family),
            // The host's own packets to ::1 cannot leave lo with another destination.
            IpFamily::V6 => {
                let itself = IpNet::from(IpAddr::from(std::net::Ipv6Addr::LOCALHOST));
                Rule::new().address(Direction::Destination, false, &itself)
            }
        };
        let rule = rule.destination_is_local().destination_nat(family, false, any);
        transaction.append_rule(chain, &rule);
    }
}

fn forward(transaction: &mut Transaction) {
    let into = || Rule::new().interface_in(Direction::Destination, BRIDGES);
    for rule in [
        into().state(State::EstablishedOrRelated).verdict(Verdict::Accept),
        into().state(State::DestinationTranslated).verdict(Verdict::Accept),
        Rule::new().interfaces_in(WITHIN).verdict(Verdict::Accept),
        into().counter().verdict(Verdict::Drop),
    ] {
        transaction.append_rule(FORWARD, &rule);
    }
}

fn leave(transaction: &mut Transaction, network: &NetworkRecord) {
    let to_bridge = |rule: Rule| rule.interface(Direction::Destination, true, &network.link);
    let rule = Rule::new().address(Direction::Source, true, &loopback());
    transaction.append_rule(POSTROUTING, &to_bridge(rule).masquerade());
    let subnets = [Some(IpNet::V4(network.ipv4)), network.ipv6.map(IpNet::V6)];
    for subnet in subnets.into_iter().flatten() {
        let rule = Rule::new().address(Direction::Source, true, &subnet);
        let hairpin = to_bridge(rule.clone()).state(State::DestinationTranslated).masquerade();
        transaction.append_rule(POSTROUTING, &hairpin);
        let away = rule
            .interface(Direction::Destination, false, &network.link)
            .interface(Direction::Destination, false, "lo")
            .masquerade();
        transaction.append_rule(POSTROUTING, &away);
    }
}
