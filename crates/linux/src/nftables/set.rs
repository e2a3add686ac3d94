//! Sets and maps, and the bytes of their keys.

use std::net::IpAddr;

pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
pub(super) const SET_KEY_LENGTH: u16 = 5;
pub(super) const SET_DATA_TYPE: u16 = 6;
pub(super) const SET_DATA_LENGTH: u16 = 7;
pub(super) const SET_ID: u16 = 10;
pub(super) const SET_USER_DATA: u16 = 13;

pub(super) const ELEMENTS_TABLE: u16 = 1;
pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS_LIST: u16 = 3;
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_DATA: u16 = 2;
pub(super) const DATA_VALUE: u16 = 1;

/// Bytes of an interface name as the kernel compares it.
pub(super) const INTERFACE_NAME: usize = 16;

/// The type of a key or of a map's value. Numbers are nft's own, so that it can show the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv6 address.
    Ipv6Address,
    /// A transport protocol's number.
    Protocol,
    /// A port.
    Port,
    /// A link's name.
    InterfaceName,
}

impl DataType {
    const fn number(self) -> u32 {
        match self {
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::InterfaceName => 41,
        }
    }

    /// Bytes in a concatenation: whole registers of four.
    const fn width(self) -> u32 {
        match self {
            Self::Ipv4Address | Self::Protocol | Self::Port => 4,
            Self::Ipv6Address | Self::InterfaceName => 16,
        }
    }

    /// Bytes when alone.
    const fn length(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            _ => self.width(),
        }
    }
}

/// A set, or a map if it has `data`.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// The key: one type, or several concatenated.
    pub key: &'a [DataType],
    /// A map's value; empty for a set.
    pub data: &'a [DataType],
}

/// The type number and length in bytes of a concatenation.
pub(super) fn shape(types: &[DataType]) -> (u32, u32) {
    if let [single] = types {
        return (single.number(), single.length());
    }
    types
        .iter()
        .fold((0, 0), |(number, length), kind| (number << 6 | kind.number(), length + kind.width()))
}

/// The bytes of a concatenated key or value, part by part in the set's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: Vec<u8>,
}

impl Key {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A key as a dump gave it.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Appends a transport protocol's number.
    #[must_use]
    pub fn protocol(self, protocol: u8) -> Self {
        self.part(&[protocol], 4)
    }

    /// Appends a port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.part(&port.to_be_bytes(), 4)
    }

    /// Appends an address.
    #[must_use]
    pub fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.part(&address.octets(), 4),
            IpAddr::V6(address) => self.part(&address.octets(), 16),
        }
    }

    /// Appends a link's name.
    #[must_use]
    pub fn interface(self, name: &str) -> Self {
        self.part(name.as_bytes(), INTERFACE_NAME)
    }

    /// The bytes as the kernel has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn part(mut self, value: &[u8], width: usize) -> Self {
        let end = self.bytes.len() + width;
        self.bytes.extend(value.iter().take(width));
        self.bytes.resize(end, 0);
        self
    }
}

/// User data that tells `nft` in which byte order to show key and value.
pub(super) fn byte_orders(set: Set<'_>) -> Vec<u8> {
    const KEY: u8 = 0;
    const DATA: u8 = 1;
    const HOST: u32 = 1;
    const NETWORK: u32 = 2;
    let order = |types: &[DataType]| match types {
        [DataType::InterfaceName, ..] => HOST,
        _ => NETWORK,
    };
    let mut bytes = vec![KEY, 4];
    bytes.extend(order(set.key).to_ne_bytes());
    if !set.data.is_empty() {
        bytes.extend([DATA, 4]);
        bytes.extend(order(set.data).to_ne_bytes());
    }
    bytes
}
