//! Changes to links, addresses and routes, appended to a batch.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;

use super::kind;
use crate::netlink::{Batch, Flags};

pub(super) const LINK_ADDRESS: u16 = 1;
pub(super) const LINK_NAME: u16 = 3;
pub(super) const LINK_MTU: u16 = 4;
pub(super) const LINK_MASTER: u16 = 10;
pub(super) const LINK_INFORMATION: u16 = 18;
pub(super) const LINK_GROUP: u16 = 27;
pub(super) const INFORMATION_KIND: u16 = 1;

const LINK_PER_FAMILY: u16 = 26;
pub(super) const LINK_NAMESPACE: u16 = 28;
const INFORMATION_VALUE: u16 = 2;
const VETH_PEER: u16 = 1;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

const UP: u32 = 1;

/// A bridge to make.
#[derive(Debug, Clone, Copy)]
pub struct Bridge<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its hardware address; without one the bridge changes it with its ports.
    pub mac: [u8; 6],
    /// Largest packet, bytes.
    pub mtu: u32,
    /// The group to find it by.
    pub group: u32,
}

/// Makes a bridge; fails with `EXIST` if the name is taken.
pub fn add_bridge(batch: &mut Batch, bridge: Bridge<'_>) {
    let flags = Flags::CREATE | Flags::EXCLUSIVE;
    batch.message("create bridge", kind::NEW_LINK, flags, &link_header(0, 0, 0));
    batch.text(LINK_NAME, bridge.name);
    batch.bytes(LINK_ADDRESS, &bridge.mac);
    batch.u32(LINK_MTU, bridge.mtu);
    batch.u32(LINK_GROUP, bridge.group);
    batch.nest(LINK_INFORMATION, |batch| batch.text(INFORMATION_KIND, "bridge"));
}

/// A pair of virtual Ethernet links to make, one end here, the other in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// The name of the end here, at most 15 bytes.
    pub name: &'a str,
    /// The index of the bridge that the end here becomes a port of.
    pub master: u32,
    /// The group of the end here.
    pub group: u32,
    /// Largest packet of both ends, bytes.
    pub mtu: u32,
    /// The name of the other end.
    pub peer: &'a str,
    /// The hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// The namespace of the other end.
    pub namespace: BorrowedFd<'a>,
}

/// Makes a pair; the end here is up and a port of the bridge, the other end is down.
pub fn add_veth(batch: &mut Batch, veth: Veth<'_>) {
    let flags = Flags::CREATE | Flags::EXCLUSIVE;
    batch.message("create link", kind::NEW_LINK, flags, &link_header(0, UP, UP));
    batch.text(LINK_NAME, veth.name);
    batch.u32(LINK_MTU, veth.mtu);
    batch.u32(LINK_GROUP, veth.group);
    batch.u32(LINK_MASTER, veth.master);
    batch.nest(LINK_INFORMATION, |batch| {
        batch.text(INFORMATION_KIND, "veth");
        batch.nest(INFORMATION_VALUE, |batch| {
            batch.nest_with(VETH_PEER, &link_header(0, 0, 0), |batch| {
                batch.text(LINK_NAME, veth.peer);
                batch.bytes(LINK_ADDRESS, &veth.peer_mac);
                batch.u32(LINK_MTU, veth.mtu);
                batch.bytes(LINK_NAMESPACE, &veth.namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
}

/// Sets a link up, by index.
pub fn set_up(batch: &mut Batch, link: u32) {
    batch.message("set up link", kind::NEW_LINK, Flags::NONE, &link_header(link, UP, UP));
}

/// Sets a link up, by name.
pub fn set_up_by_name(batch: &mut Batch, name: &str) {
    batch.message("set up link", kind::NEW_LINK, Flags::NONE, &link_header(0, UP, UP));
    batch.text(LINK_NAME, name);
}

/// Sets a link's hardware address.
pub fn set_mac(batch: &mut Batch, link: u32, mac: [u8; 6]) {
    batch.message("set hardware address of", kind::NEW_LINK, Flags::NONE, &link_header(link, 0, 0));
    batch.bytes(LINK_ADDRESS, &mac);
}

/// Moves a link to another namespace, where it gets this name and is down, without addresses.
pub fn move_link(batch: &mut Batch, link: u32, namespace: BorrowedFd<'_>, name: &str) {
    batch.message("move link", kind::NEW_LINK, Flags::NONE, &link_header(link, 0, 0));
    batch.bytes(LINK_NAMESPACE, &namespace.as_raw_fd().to_ne_bytes());
    batch.text(LINK_NAME, name);
}

/// Moves a link into a group.
pub fn set_group(batch: &mut Batch, name: &str, group: u32) {
    batch.message("set group of", kind::NEW_LINK, Flags::NONE, &link_header(0, 0, 0));
    batch.text(LINK_NAME, name);
    batch.u32(LINK_GROUP, group);
}

/// Stops the kernel from making a link-local IPv6 address of its own when the link goes up.
pub fn disable_automatic_addresses(batch: &mut Batch, name: &str) {
    const ADDRESS_GENERATION: u16 = 8;
    const NONE: u8 = 1;
    batch.message("configure IPv6 of", kind::NEW_LINK, Flags::NONE, &link_header(0, 0, 0));
    batch.text(LINK_NAME, name);
    batch.nest(LINK_PER_FAMILY, |batch| {
        batch.nest(u16::from(FAMILY_IPV6), |batch| batch.u8(ADDRESS_GENERATION, NONE));
    });
}

/// Lets packets leave a bridge by the port they came in, for the port of this name: with packets
/// of bridges passing the firewall, a container reaches itself by its published port only so.
pub fn set_hairpin(batch: &mut Batch, name: &str) {
    const PORT_KIND: u16 = 4;
    const PORT_VALUE: u16 = 5;
    const HAIRPIN: u16 = 4;
    batch.message("set hairpin mode of", kind::NEW_LINK, Flags::NONE, &link_header(0, 0, 0));
    batch.text(LINK_NAME, name);
    batch.nest(LINK_INFORMATION, |batch| {
        batch.text(PORT_KIND, "bridge");
        batch.nest(PORT_VALUE, |batch| batch.u8(HAIRPIN, 1));
    });
}

/// Deletes a link by name, with its other end. Takes 20 ms.
pub fn delete_link(batch: &mut Batch, name: &str) {
    batch.message("delete link", kind::DELETE_LINK, Flags::NONE, &link_header(0, 0, 0));
    batch.text(LINK_NAME, name);
}

/// Deletes every link of a group in one step: about 0.5 ms each plus 20 ms.
pub fn delete_group(batch: &mut Batch, group: u32) {
    batch.message("delete links of group", kind::DELETE_LINK, Flags::NONE, &link_header(0, 0, 0));
    batch.u32(LINK_GROUP, group);
}

/// Adds an address to a link, usable at once (without duplicate address detection); it may be
/// there already.
pub fn add_address(batch: &mut Batch, link: u32, address: IpNet) {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    const BROADCAST: u16 = 4;
    const NO_DETECTION: u8 = 2;
    const PERMANENT: u8 = 0x80;
    let (family, flags, scope) = match address.addr() {
        IpAddr::V4(_) => (FAMILY_IPV4, PERMANENT, 0),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { SCOPE_LINK } else { 0 };
            (FAMILY_IPV6, PERMANENT | NO_DETECTION, scope)
        }
    };
    let [a, b, c, d] = link.to_ne_bytes();
    let header = [family, address.prefix_len(), flags, scope, a, b, c, d];
    batch.message("add address to", kind::NEW_ADDRESS, Flags::CREATE | Flags::REPLACE, &header);
    octets(address.addr(), |bytes| {
        batch.bytes(LOCAL, bytes);
        batch.bytes(ADDRESS, bytes);
    });
    if let IpNet::V4(network) = address
        && network.prefix_len() < 31
    {
        batch.bytes(BROADCAST, &network.broadcast().octets());
    }
}

const SCOPE_LINK: u8 = 253;

/// Adds the default route of the gateway's family.
pub fn add_default_route(batch: &mut Batch, link: u32, gateway: IpAddr) {
    const LINK: u16 = 4;
    const GATEWAY: u16 = 5;
    const MAIN_TABLE: u8 = 254;
    const PROTOCOL_BOOT: u8 = 3;
    const UNICAST: u8 = 1;
    let family = if gateway.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 };
    let header = [family, 0, 0, 0, MAIN_TABLE, PROTOCOL_BOOT, 0, UNICAST, 0, 0, 0, 0];
    let flags = Flags::CREATE | Flags::EXCLUSIVE;
    batch.message("add default route by", kind::NEW_ROUTE, flags, &header);
    octets(gateway, |bytes| batch.bytes(GATEWAY, bytes));
    batch.u32(LINK, link);
}

fn octets(address: IpAddr, put: impl FnOnce(&[u8])) {
    match address {
        IpAddr::V4(address) => put(&address.octets()),
        IpAddr::V6(address) => put(&address.octets()),
    }
}

/// `struct ifinfomsg`: family, type, index, flags, mask of flags to change.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    for (target, value) in header.chunks_exact_mut(4).zip([0, index, flags, change]) {
        target.copy_from_slice(&value.to_ne_bytes());
    }
    header
}
