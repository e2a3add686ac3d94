//! Rules: lists of expressions over registers.
//!
//! The methods of [`Rule`] are the statements of nft(8) that we use; each appends the expressions
//! that nft itself would generate, so that `nft list` reads them back as the same statement.

use ipnet::IpNet;

use super::set::{DATA_VALUE, INTERFACE_NAME};
use super::{Family, LIST_ITEM};
use crate::netlink::Batch;

pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USER_DATA: u16 = 7;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// The register for verdicts.
const VERDICT: u32 = 0;
/// The first register of 16 bytes.
const FIRST: u32 = 1;
/// The first register of four bytes; four of these are one of the others.
const FIRST_NARROW: u32 = 8;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// The family of an address or network.
    #[must_use]
    pub const fn of(network: &IpNet) -> Self {
        match network {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::V4 => Family::Ip.number(),
            Self::V6 => Family::Ip6.number(),
        }
    }

    /// Bytes of an address, and where source and destination lie in the header.
    const fn layout(self) -> (u32, u32, u32) {
        match self {
            Self::V4 => (4, 12, 16),
            Self::V6 => (16, 8, 24),
        }
    }
}

/// Incoming or outgoing; source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Where the packet comes from.
    Source,
    /// Where it goes to.
    Destination,
}

/// Connection-tracking states and statuses to match, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `ct state established,related`.
    EstablishedOrRelated,
    /// `ct status dnat`.
    DestinationTranslated,
}

/// What becomes of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Discard it.
    Drop,
    /// Let it pass this hook's chain.
    Accept,
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Load packet metadata.
    Meta {
        /// The kernel's key number.
        key: u32,
        /// The destination register.
        register: u32,
    },
    /// Load connection-tracking state.
    Conntrack {
        /// The kernel's key number.
        key: u32,
        /// The destination register.
        register: u32,
    },
    /// Load the routing type of the destination address.
    DestinationType {
        /// The destination register.
        register: u32,
    },
    /// Load bytes of the packet.
    Payload {
        /// 1 network header, 2 transport header.
        base: u32,
        /// Offset in the header, bytes.
        offset: u32,
        /// Bytes.
        length: u32,
        /// The destination register.
        register: u32,
    },
    /// Keep the bits of a mask.
    Mask {
        /// Source and destination register.
        register: u32,
        /// The mask.
        mask: Vec<u8>,
    },
    /// Go on only if equal (or not equal).
    Compare {
        /// The register to compare.
        register: u32,
        /// Go on if equal.
        equal: bool,
        /// The value.
        value: Vec<u8>,
    },
    /// Go on only if the set contains the key; a map's value goes to `destination`.
    Lookup {
        /// The set's name.
        set: String,
        /// The key's register.
        source: u32,
        /// The value's register.
        destination: Option<u32>,
    },
    /// Translate the destination to address and port in registers.
    DestinationNat {
        /// The address's family.
        family: IpFamily,
        /// The address's register.
        address: u32,
        /// The port's register.
        port: u32,
    },
    /// Translate the source to the outgoing link's address.
    Masquerade,
    /// Count packets and bytes.
    Counter,
    /// End with a verdict.
    Verdict(Verdict),
}

/// A rule under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    expressions: Vec<Expression>,
}

const META_INPUT_NAME: u32 = 6;
const META_OUTPUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

impl Rule {
    /// An empty rule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `meta nfproto ipv4|ipv6`.
    #[must_use]
    pub fn family(self, family: IpFamily) -> Self {
        self.meta(META_FAMILY, FIRST).compare(true, vec![family.number()])
    }

    /// `iifname NAME` or `iifname != NAME`; for the destination `oifname`.
    #[must_use]
    pub fn interface(self, direction: Direction, equal: bool, name: &str) -> Self {
        let mut value = name.as_bytes().to_vec();
        value.resize(INTERFACE_NAME, 0);
        self.meta(interface_key(direction), FIRST).compare(equal, value)
    }

    /// `iifname . oifname @SET`.
    #[must_use]
    pub fn interfaces_in(self, set: &str) -> Self {
        self.meta(META_INPUT_NAME, FIRST).meta(META_OUTPUT_NAME, FIRST + 1).lookup(set, None)
    }

    /// `iifname @SET`; for the destination `oifname`.
    #[must_use]
    pub fn interface_in(self, direction: Direction, set: &str) -> Self {
        self.meta(interface_key(direction), FIRST).lookup(set, None)
    }

    /// `ip saddr NETWORK`, `ip6 daddr != NETWORK` and so on, with the family's own test.
    #[must_use]
    pub fn address(self, direction: Direction, equal: bool, network: &IpNet) -> Self {
        let family = IpFamily::of(network);
        let (value, mask) = match network {
            IpNet::V4(network) => {
                (network.network().octets().to_vec(), network.netmask().octets().to_vec())
            }
            IpNet::V6(network) => {
                (network.network().octets().to_vec(), network.netmask().octets().to_vec())
            }
        };
        let rule = self.family(family).load_address(family, direction, FIRST);
        if network.prefix_len() == network.max_prefix_len() {
            return rule.compare(equal, value);
        }
        rule.push(Expression::Mask { register: FIRST, mask }).compare(equal, value)
    }

    /// `fib daddr type local`.
    #[must_use]
    pub fn destination_is_local(self) -> Self {
        const LOCAL: u32 = 2;
        self.push(Expression::DestinationType { register: FIRST })
            .compare(true, LOCAL.to_ne_bytes().to_vec())
    }

    /// `ct state …` or `ct status …`.
    #[must_use]
    pub fn state(self, state: State) -> Self {
        let (key, bits): (u32, u32) = match state {
            State::EstablishedOrRelated => (0, 2 | 4),
            State::DestinationTranslated => (2, 1 << 5),
        };
        self.push(Expression::Conntrack { key, register: FIRST })
            .push(Expression::Mask { register: FIRST, mask: bits.to_ne_bytes().to_vec() })
            .compare(false, vec![0; 4])
    }

    /// `dnat ip to meta l4proto . ip daddr . th dport map @MAP`; without `with_address` the key is
    /// `meta l4proto . th dport`. The map's value is address and port.
    #[must_use]
    pub fn destination_nat(self, family: IpFamily, with_address: bool, map: &str) -> Self {
        let words = family.layout().0 / 4;
        let rule = self.meta(META_PROTOCOL, FIRST);
        let (rule, port) = if with_address {
            let register = FIRST_NARROW + 1;
            (rule.load_address(family, Direction::Destination, register), register + words)
        } else {
            (rule, FIRST_NARROW + 1)
        };
        rule.push(Expression::Payload {
            base: TRANSPORT_HEADER,
            offset: 2,
            length: 2,
            register: port,
        })
        .lookup(map, Some(FIRST))
        .push(Expression::DestinationNat {
            family,
            address: FIRST,
            port: FIRST_NARROW + words,
        })
    }

    /// `masquerade`.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.push(Expression::Masquerade)
    }

    /// `counter`.
    #[must_use]
    pub fn counter(self) -> Self {
        self.push(Expression::Counter)
    }

    /// `accept` or `drop`.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.push(Expression::Verdict(verdict))
    }

    fn load_address(self, family: IpFamily, direction: Direction, register: u32) -> Self {
        let (length, source, destination) = family.layout();
        let offset = if direction == Direction::Source { source } else { destination };
        self.push(Expression::Payload { base: NETWORK_HEADER, offset, length, register })
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.push(Expression::Meta { key, register })
    }

    fn compare(self, equal: bool, value: Vec<u8>) -> Self {
        self.push(Expression::Compare { register: FIRST, equal, value })
    }

    fn lookup(self, set: &str, destination: Option<u32>) -> Self {
        self.push(Expression::Lookup { set: set.to_owned(), source: FIRST, destination })
    }

    fn push(mut self, expression: Expression) -> Self {
        self.expressions.push(expression);
        self
    }

    pub(super) fn encode(&self, batch: &mut Batch) {
        batch.nest(RULE_EXPRESSIONS, |batch| {
            for expression in &self.expressions {
                batch.nest(LIST_ITEM, |batch| {
                    batch.text(EXPRESSION_NAME, expression.name());
                    batch.nest(EXPRESSION_DATA, |batch| expression.encode(batch));
                });
            }
        });
    }
}

const fn interface_key(direction: Direction) -> u32 {
    match direction {
        Direction::Source => META_INPUT_NAME,
        Direction::Destination => META_OUTPUT_NAME,
    }
}

impl Expression {
    const fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Conntrack { .. } => "ct",
            Self::DestinationType { .. } => "fib",
            Self::Payload { .. } => "payload",
            Self::Mask { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::DestinationNat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Counter => "counter",
            Self::Verdict(_) => "immediate",
        }
    }

    /// The attributes of each expression are numbered from 1, as in `nf_tables.h`.
    fn encode(&self, batch: &mut Batch) {
        match self {
            Self::Meta { key, register } | Self::Conntrack { key, register } => {
                numbers(batch, &[(1, *register), (2, *key)]);
            }
            Self::DestinationType { register } => {
                const ADDRESS_TYPE: u32 = 3;
                const DESTINATION: u32 = 2;
                numbers(batch, &[(1, *register), (2, ADDRESS_TYPE), (3, DESTINATION)]);
            }
            Self::Payload { base, offset, length, register } => {
                numbers(batch, &[(1, *register), (2, *base), (3, *offset), (4, *length)]);
            }
            Self::Mask { register, mask } => {
                let length = u32::try_from(mask.len()).expect("a mask has at most 16 bytes");
                numbers(batch, &[(1, *register), (2, *register), (3, length)]);
                value(batch, 4, mask);
                value(batch, 5, &vec![0; mask.len()]);
            }
            Self::Compare { register, equal, value: expected } => {
                numbers(batch, &[(1, *register), (2, u32::from(!equal))]);
                value(batch, 3, expected);
            }
            Self::Lookup { set, source, destination } => {
                batch.text(1, set);
                numbers(batch, &[(2, *source)]);
                if let Some(destination) = destination {
                    numbers(batch, &[(3, *destination)]);
                }
            }
            Self::DestinationNat { family, address, port } => {
                const DESTINATION: u32 = 1;
                let family = u32::from(family.number());
                numbers(batch, &[(1, DESTINATION), (2, family), (3, *address), (5, *port)]);
            }
            Self::Masquerade => {}
            Self::Counter => {
                batch.bytes(1, &[0; 8]);
                batch.bytes(2, &[0; 8]);
            }
            Self::Verdict(verdict) => {
                const DATA_VERDICT: u16 = 2;
                numbers(batch, &[(1, VERDICT)]);
                let code = u32::from(*verdict == Verdict::Accept);
                batch.nest(2, |batch| batch.nest(DATA_VERDICT, |batch| batch.u32_be(1, code)));
            }
        }
    }
}

fn numbers(batch: &mut Batch, attributes: &[(u16, u32)]) {
    for (kind, number) in attributes {
        batch.u32_be(*kind, *number);
    }
}

fn value(batch: &mut Batch, kind: u16, bytes: &[u8]) {
    batch.nest(kind, |batch| batch.bytes(DATA_VALUE, bytes));
}
