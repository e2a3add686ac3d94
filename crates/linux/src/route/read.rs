//! What exists: messages of dumps as values.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{change, kind};
use crate::netlink::{Attributes, Message, text, u32_of};

/// A link (network interface).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, …; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Whether it was set up.
    pub up: bool,
    /// Largest packet, bytes.
    pub mtu: u32,
    /// The group, 0 by default.
    pub group: u32,
    /// The index of the bridge it is a port of.
    pub master: Option<u32>,
    /// The hardware address, if it is an Ethernet link.
    pub mac: Option<[u8; 6]>,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address with its prefix length.
    pub address: IpNet,
    /// Whether it is for everywhere, not only for the link or the host.
    pub is_global: bool,
    /// Whether it stays until it is deleted, unlike those that routers or DHCP servers lend.
    pub is_permanent: bool,
}

/// A unicast route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to; prefix length 0 is the default route.
    pub destination: IpNet,
    /// The outgoing link's index.
    pub link: Option<u32>,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The smaller the better.
    pub metric: u32,
}

const UP: u32 = 1;

const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;

const ROUTE_DESTINATION: u16 = 1;
const ROUTE_LINK: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_METRIC: u16 = 6;
const UNICAST: u8 = 1;

pub(super) fn link(message: &Message) -> Option<Link> {
    if message.kind != kind::NEW_LINK {
        return None;
    }
    let index = u32_of(message.payload.get(4..)?)?;
    let flags = u32_of(message.payload.get(8..)?)?;
    let attributes = Attributes::of(message.payload.get(16..)?);
    let number = |kind| attributes.clone().find(kind).and_then(u32_of);
    let information = attributes.clone().find(change::LINK_INFORMATION).map(Attributes::of);
    Some(Link {
        index,
        name: attributes.clone().find(change::LINK_NAME).and_then(text)?.to_owned(),
        kind: information
            .and_then(|attributes| attributes.find(change::INFORMATION_KIND))
            .and_then(text)
            .map(ToOwned::to_owned),
        up: flags & UP != 0,
        mtu: number(change::LINK_MTU).unwrap_or(0),
        group: number(change::LINK_GROUP).unwrap_or(0),
        master: number(change::LINK_MASTER),
        mac: attributes
            .clone()
            .find(change::LINK_ADDRESS)
            .and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()),
    })
}

pub(super) fn address(message: &Message) -> Option<Address> {
    const PERMANENT: u8 = 0x80;
    const GLOBAL: u8 = 0;
    let [family, prefix, flags, scope, ..] = *message.payload.as_slice() else { return None };
    let link = u32_of(message.payload.get(4..)?)?;
    let attributes = Attributes::of(message.payload.get(8..)?);
    // On a link with a peer, LOCAL is ours and ADDRESS is the peer's.
    let bytes =
        attributes.clone().find(ADDRESS_LOCAL).or_else(|| attributes.clone().find(ADDRESS_ADDRESS));
    let address = IpNet::new(ip(family, bytes?)?, prefix).ok()?;
    let (is_global, is_permanent) = (scope == GLOBAL, flags & PERMANENT != 0);
    Some(Address { link, address, is_global, is_permanent })
}

pub(super) fn route(message: &Message) -> Option<Route> {
    let [family, prefix, _, _, _, _, _, route_kind, ..] = *message.payload.as_slice() else {
        return None;
    };
    if message.kind != kind::NEW_ROUTE || route_kind != UNICAST {
        return None;
    }
    let attributes = Attributes::of(message.payload.get(12..)?);
    let destination = match attributes.clone().find(ROUTE_DESTINATION) {
        Some(bytes) => ip(family, bytes)?,
        None if family == FAMILY_IPV4 => IpAddr::from([0; 4]),
        None => IpAddr::from([0; 16]),
    };
    Some(Route {
        destination: IpNet::new(destination, prefix).ok()?,
        link: attributes.clone().find(ROUTE_LINK).and_then(u32_of),
        gateway: attributes.clone().find(ROUTE_GATEWAY).and_then(|bytes| ip(family, bytes)),
        metric: attributes.clone().find(ROUTE_METRIC).and_then(u32_of).unwrap_or(0),
    })
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        FAMILY_IPV4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        FAMILY_IPV6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
