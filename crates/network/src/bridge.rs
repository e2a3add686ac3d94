//! The default network's bridge: made, or adopted from an earlier daemon.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux::netlink::Batch;
use linux::route::{Address, Link, Route, Socket, change};

use crate::error::Error;
use crate::record::NetworkRecord;
use crate::subnet;

/// The default network's name.
pub(crate) const DEFAULT_NETWORK: &str = "bridge";
/// Where the host has no default route to learn from.
const DEFAULT_MTU: u32 = 1500;
/// The link-local address that containers know the bridge by; it is the same on every bridge.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A network in the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    pub(crate) record: NetworkRecord,
    pub(crate) index: u32,
}

/// The group of every link that belongs to an instance.
pub(crate) fn group(instance: &str) -> u32 {
    0x6200_0000 | number(instance)
}

/// The group of links about to be deleted.
pub(crate) fn doomed_group(instance: &str) -> u32 {
    0x7200_0000 | number(instance)
}

fn number(instance: &str) -> u32 {
    u32::from_str_radix(instance, 16).unwrap_or(0) & 0x00ff_ffff
}

/// Makes the default bridge with its addresses, up, or adopts the one that is there, and switches
/// forwarding on.
pub(crate) fn ensure(
    socket: &mut Socket,
    instance: &str,
    previous: Option<&NetworkRecord>,
) -> Result<Bridge, Error> {
    let name = format!("brig-{instance}");
    let failed = || Error::kernel("read", "links, addresses and routes");
    let links = socket.links().map_err(failed())?;
    let addresses = socket.addresses().map_err(failed())?;
    let routes = socket.routes().map_err(failed())?;
    let existing = links.iter().find(|link| link.name == name);
    let record = plan(
        &name,
        instance,
        previous,
        &Observed { existing, links: &links, addresses: &addresses, routes: &routes },
    )?;
    if existing.is_none() {
        create(socket, &record, instance)?;
    }
    let link = socket.link(&name).map_err(Error::kernel("find link", &name))?;
    let index = link.map(|link| link.index).ok_or_else(|| Error::Io {
        operation: "find link",
        object: name.clone(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    let record = configure(socket, index, record)?;
    forward(&name, &advertised(&links, &routes))?;
    Ok(Bridge { record, index })
}

struct Observed<'a> {
    existing: Option<&'a Link>,
    links: &'a [Link],
    addresses: &'a [Address],
    routes: &'a [Route],
}

/// Which subnets and packet size the bridge gets: what it has, else what it had, else what is
/// free.
fn plan(
    name: &str,
    instance: &str,
    previous: Option<&NetworkRecord>,
    observed: &Observed<'_>,
) -> Result<NetworkRecord, Error> {
    let own = |address: &&Address| observed.existing.is_some_and(|link| link.index == address.link);
    let mut adopted4 = None;
    let mut adopted6 = None;
    for address in observed.addresses.iter().filter(own) {
        match address.address {
            IpNet::V4(address) => adopted4 = adopted4.or(Some(address)),
            IpNet::V6(address) if address.addr().is_unicast_link_local() => {}
            IpNet::V6(address) => adopted6 = adopted6.or(Some(address)),
        }
    }
    let used = used(observed);
    let remembered = previous.map(|record| record.ipv4).filter(|ipv4| subnet::is_free(ipv4, &used));
    let ipv4 =
        adopted4.or(remembered).or_else(|| subnet::choose(&used)).ok_or(Error::SubnetsExhausted)?;
    let ipv6: Option<Ipv6Net> = adopted6
        .or_else(|| previous.and_then(|record| record.ipv6))
        .or_else(|| subnet::unique_local(instance, DEFAULT_NETWORK));
    let mtu = observed.existing.map_or_else(|| outgoing_mtu(observed), |link| link.mtu);
    Ok(NetworkRecord { name: DEFAULT_NETWORK.to_owned(), link: name.to_owned(), ipv4, ipv6, mtu })
}

/// Subnets that this host has addresses in or routes to.
fn used(observed: &Observed<'_>) -> Vec<Ipv4Net> {
    let addresses = observed.addresses.iter().map(|address| address.address);
    let routes = observed.routes.iter().map(|route| route.destination);
    addresses
        .chain(routes)
        .filter_map(|network| match network {
            IpNet::V4(network) => Some(network.trunc()),
            IpNet::V6(_) => None,
        })
        .collect()
}

/// The packet size of the default route's link.
fn outgoing_mtu(observed: &Observed<'_>) -> u32 {
    let default = observed
        .routes
        .iter()
        .filter(|route| route.destination.prefix_len() == 0 && route.link.is_some())
        .min_by_key(|route| (route.destination.addr().is_ipv6(), route.metric));
    default
        .and_then(|route| observed.links.iter().find(|link| Some(link.index) == route.link))
        .map_or(DEFAULT_MTU, |link| link.mtu)
}

fn create(socket: &mut Socket, record: &NetworkRecord, instance: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    let [a, b, c, d] = record.ipv4.addr().octets();
    let bridge = change::Bridge {
        name: &record.link,
        mac: [0x02, 0x42, a, b, c, d],
        mtu: record.mtu,
        group: group(instance),
    };
    change::add_bridge(&mut batch, bridge);
    socket.execute(&mut batch, &record.link).map_err(Error::kernel("create network", &record.name))
}

/// Addresses and state; harmless to repeat. Without IPv6 in the kernel the record loses it.
fn configure(
    socket: &mut Socket,
    index: u32,
    mut record: NetworkRecord,
) -> Result<NetworkRecord, Error> {
    if read(&ipv6_setting(&record.link, "disable_ipv6")).as_deref() != Some("0") {
        record.ipv6 = None;
    }
    let mut batch = Batch::new();
    if let Some(ipv6) = record.ipv6 {
        change::disable_automatic_addresses(&mut batch, &record.link);
        change::add_address(&mut batch, index, IpNet::V6(ipv6));
        change::add_address(&mut batch, index, IpNet::V6(Ipv6Net::new_assert(LINK_LOCAL, 64)));
    }
    change::add_address(&mut batch, index, IpNet::V4(record.ipv4));
    change::set_up(&mut batch, index);
    socket
        .execute(&mut batch, &record.link)
        .map_err(Error::kernel("configure network", &record.name))?;
    Ok(record)
}

/// Links that may get an IPv6 default route from router advertisements, now or when a cable is
/// plugged in. Not bridges and veths: a container behind one could advertise itself as the host's
/// router (CVE-2020-13401), unless the host goes out that way already.
fn advertised(links: &[Link], routes: &[Route]) -> Vec<String> {
    let leads_out = |link: &Link| {
        routes.iter().any(|route| {
            route.link == Some(link.index)
                && route.destination.prefix_len() == 0
                && route.destination.addr().is_ipv6()
        })
    };
    let is_inside =
        |link: &Link| link.name == "lo" || matches!(link.kind.as_deref(), Some("bridge" | "veth"));
    let wanted = links.iter().filter(|link| leads_out(link) || !is_inside(link));
    wanted.map(|link| link.name.clone()).collect()
}

/// Lets packets pass between links, and those of the host's loopback to the bridge.
fn forward(bridge: &str, advertised: &[String]) -> Result<(), Error> {
    set(&Path::new("/proc/sys/net/ipv4/conf").join(bridge).join("route_localnet"), "1")?;
    set(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    let all = ipv6_setting("all", "forwarding");
    if read(&all).is_none() {
        return Ok(());
    }
    // No container may tell this host where to route.
    set(&ipv6_setting(bridge, "accept_ra"), "0")?;
    if read(&all).as_deref() != Some("0") {
        return Ok(());
    }
    // A forwarding host ignores router advertisements unless told otherwise.
    for link in advertised {
        let accept = ipv6_setting(link, "accept_ra");
        if read(&accept).as_deref() == Some("1") {
            set(&accept, "2")?;
        }
    }
    set(&all, "1")
}

/// Makes a link of the calling thread's namespace ignore router advertisements, if there is IPv6.
pub(crate) fn ignore_advertisements(link: &str) -> Result<(), Error> {
    let accept = ipv6_setting(link, "accept_ra");
    if read(&accept).is_none() {
        return Ok(());
    }
    set(&accept, "0")
}

/// Whether packets between ports of one bridge pass the firewall's IP hooks (bridge netfilter).
pub(crate) fn filters_ports() -> bool {
    let path = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    read(path).as_deref() == Some("1")
}

fn ipv6_setting(link: &str, name: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf").join(link).join(name)
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn set(path: &Path, value: &str) -> Result<(), Error> {
    if read(path).as_deref() == Some(value) {
        return Ok(());
    }
    fs::write(path, value).map_err(Error::io("set", path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, mtu: u32) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: None,
            up: true,
            mtu,
            group: 0,
            master: None,
            mac: None,
        }
    }

    fn address(link: u32, address: &str) -> Address {
        let address = address.parse().unwrap();
        Address { link, address, is_global: true, is_permanent: true }
    }

    fn route(link: u32, destination: &str, metric: u32) -> Route {
        let destination = destination.parse().unwrap();
        Route { destination, link: Some(link), gateway: None, metric }
    }

    /// The host of the cases: `eth0` and a worse default route by `eth1`.
    fn check(previous: Option<&str>, existing: Option<&[Address]>, expected: (&str, u32)) {
        let mut links = vec![link(2, "eth0", 9000), link(3, "eth1", 1400)];
        let mut addresses = vec![address(2, "172.17.9.9/24"), address(2, "2001:db8::9/64")];
        if let Some(own) = existing {
            links.push(link(7, "brig-a1b2c3", 1300));
            addresses.extend(own);
        }
        let routes = [route(3, "0.0.0.0/0", 200), route(2, "0.0.0.0/0", 100)];
        let previous = previous.map(|ipv4| NetworkRecord {
            name: DEFAULT_NETWORK.to_owned(),
            link: "brig-a1b2c3".to_owned(),
            ipv4: ipv4.parse().unwrap(),
            ipv6: None,
            mtu: 1500,
        });
        let observed = Observed {
            existing: links.iter().find(|link| link.index == 7),
            links: &links,
            addresses: &addresses,
            routes: &routes,
        };
        let record = plan("brig-a1b2c3", "a1b2c3", previous.as_ref(), &observed).unwrap();
        assert_eq!((record.ipv4.to_string().as_str(), record.mtu), expected);
    }

    #[test]
    fn advertisements_are_for_links_that_lead_out_or_may() {
        let of_kind = |link: Link, kind: &str| Link { kind: Some(kind.to_owned()), ..link };
        let links = [
            link(1, "lo", 65536),
            link(2, "eth0", 1500),
            link(3, "wlan0", 1500),
            of_kind(link(4, "docker0", 1500), "bridge"),
            of_kind(link(5, "br0", 1500), "bridge"),
            of_kind(link(6, "veth1", 1500), "veth"),
            of_kind(link(7, "vlan7", 1500), "vlan"),
        ];
        let routes = [route(5, "::/0", 100), route(4, "0.0.0.0/0", 100)];
        assert_eq!(advertised(&links, &routes), ["eth0", "wlan0", "br0", "vlan7"]);
    }

    #[test]
    fn subnets_are_kept_while_that_is_possible() {
        check(None, None, ("172.18.0.1/16", 9000));
        check(Some("172.30.0.1/16"), None, ("172.30.0.1/16", 9000));
        // Meanwhile the host has got an address there.
        check(Some("172.17.0.1/16"), None, ("172.18.0.1/16", 9000));
        let own = [address(7, "fe80::1/64"), address(7, "172.19.0.1/16")];
        check(Some("172.30.0.1/16"), Some(&own), ("172.19.0.1/16", 1300));
        check(None, Some(&[]), ("172.18.0.1/16", 1300));
    }
}
