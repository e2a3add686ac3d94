//! Connection tracking: forgetting flows whose translation has changed.
//!
//! The kernel translates a flow as its first packet was; a UDP flow that never pauses would be sent
//! to a container that is long gone.
//! Specification: <https://docs.kernel.org/networking/netlink_spec/conntrack.html>.

use std::net::IpAddr;

use crate::Error;
use crate::netlink::{self, Batch, Flags, Protocol};

/// `IPCTNL_MSG_CT_DELETE` of the subsystem 1.
const DELETE: u16 = 1 << 8 | 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const FILTER: u16 = 25;

const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const SOURCE_IPV4: u16 = 1;
const SOURCE_IPV6: u16 = 3;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_DESTINATION: u16 = 3;

const COMPARE_SOURCE: u32 = 1 << 0;
const COMPARE_PROTOCOL: u32 = 1 << 3;
const COMPARE_DESTINATION_PORT: u32 = 1 << 5;

const UDP: u8 = 17;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

/// A connection-tracking socket, bound to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    netlink: netlink::Socket,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel has no netfilter.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { netlink: netlink::Socket::open(Protocol::Netfilter)? })
    }

    /// Forgets the UDP flows that this address answers.
    ///
    /// # Errors
    /// When the kernel refuses: before Linux 5.8 it cannot select flows.
    pub fn forget_answered_by(&mut self, address: IpAddr) -> Result<(), Error> {
        let family = if address.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 };
        let mut batch = Batch::new();
        batch.message("forget flows to", DELETE, Flags::NONE, &[family, 0, 0, 0]);
        batch.nest(TUPLE_REPLY, |batch| {
            batch.nest(TUPLE_ADDRESSES, |batch| match address {
                IpAddr::V4(address) => batch.bytes(SOURCE_IPV4, &address.octets()),
                IpAddr::V6(address) => batch.bytes(SOURCE_IPV6, &address.octets()),
            });
            batch.nest(TUPLE_PROTOCOL, |batch| batch.u8(PROTOCOL_NUMBER, UDP));
        });
        filter(&mut batch, TUPLE_REPLY, COMPARE_SOURCE | COMPARE_PROTOCOL);
        self.netlink.execute(&mut batch, &address.to_string())
    }

    /// Forgets the UDP flows to this port, wherever they go.
    ///
    /// # Errors
    /// As [`Self::forget_answered_by`].
    pub fn forget_to_port(&mut self, port: u16) -> Result<(), Error> {
        let mut batch = Batch::new();
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            batch.message("forget flows to", DELETE, Flags::NONE, &[family, 0, 0, 0]);
            batch.nest(TUPLE_ORIGINAL, |batch| {
                batch.nest(TUPLE_PROTOCOL, |batch| {
                    batch.u8(PROTOCOL_NUMBER, UDP);
                    batch.bytes(PROTOCOL_DESTINATION, &port.to_be_bytes());
                });
            });
            filter(&mut batch, TUPLE_ORIGINAL, COMPARE_PROTOCOL | COMPARE_DESTINATION_PORT);
        }
        self.netlink.execute(&mut batch, &format!("port {port}"))
    }
}

/// Which parts of a tuple must be equal; the attributes have the tuples' numbers.
fn filter(batch: &mut Batch, tuple: u16, parts: u32) {
    batch.nest(FILTER, |batch| batch.u32(tuple, parts));
}
