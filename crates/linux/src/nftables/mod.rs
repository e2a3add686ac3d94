//! nftables: transactions of tables, chains, rules, sets and maps, written and read directly.
//!
//! A [`Transaction`] speaks about one table and is applied as a whole or not at all. Rules are
//! built from [`Expression`]s by [`Rule`]'s methods; sets and maps have typed keys, also
//! concatenated ones, so that `nft list` shows them as if `nft` had made them. Adding or deleting
//! an element takes a microsecond, whatever the size of the set.
//! Specification: <https://docs.kernel.org/networking/netlink_spec/nftables.html>, nft(8).

mod changes;
mod read;
mod rule;
mod set;
#[cfg(test)]
mod tests;
mod transaction;

pub use changes::{Changes, News};
pub use read::{BaseChain, Element, ListedRule};
pub use rule::{Direction, Expression, IpFamily, Rule, State, Verdict};
pub use set::{DataType, Key, Set};
pub use transaction::{Chain, Hook, Policy, Transaction};

use crate::Error;
use crate::netlink::{self, Batch, Flags};

pub(crate) mod kind {
    //! Message types, the subsystem's number in the upper byte.
    const SUBSYSTEM: u16 = 10 << 8;
    pub(crate) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(crate) const GET_TABLE: u16 = SUBSYSTEM | 1;
    pub(crate) const DELETE_TABLE: u16 = SUBSYSTEM | 2;
    pub(crate) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
    pub(crate) const GET_CHAIN: u16 = SUBSYSTEM | 4;
    pub(crate) const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
    pub(crate) const NEW_RULE: u16 = SUBSYSTEM | 6;
    pub(crate) const GET_RULE: u16 = SUBSYSTEM | 7;
    pub(crate) const DELETE_RULE: u16 = SUBSYSTEM | 8;
    pub(crate) const NEW_SET: u16 = SUBSYSTEM | 9;
    pub(crate) const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
    pub(crate) const GET_ELEMENT: u16 = SUBSYSTEM | 13;
    pub(crate) const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;
    pub(crate) const BEGIN: u16 = 16;
    pub(crate) const END: u16 = 17;
}

/// An attribute that is an item of a list.
pub(crate) const LIST_ITEM: u16 = 1;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Another one, by its number: ARP, bridge, device.
    Other(u8),
}

impl Family {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
            Self::Other(number) => number,
        }
    }

    pub(crate) const fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Inet,
            2 => Self::Ip,
            10 => Self::Ip6,
            other => Self::Other(other),
        }
    }

    /// `struct nfgenmsg`.
    pub(crate) const fn header(self) -> [u8; 4] {
        [self.number(), 0, 0, 0]
    }
}

/// A table's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// Which packets it sees.
    pub family: Family,
    /// Its name.
    pub name: String,
}

/// Space for large transactions and for a failed one's many answers, bytes.
const SOCKET_BUFFER: usize = 4 << 20;

/// An nftables socket, bound to the network namespace of the thread that opened it.
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
        let netlink = netlink::Socket::open(netlink::Protocol::Netfilter)?;
        netlink.enlarge(SOCKET_BUFFER);
        Ok(Self { netlink })
    }

    /// Applies a transaction: all of it, or nothing.
    ///
    /// # Errors
    /// The first message that the kernel refused.
    pub fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        let Some((mut batch, object)) = transaction.finish() else { return Ok(()) };
        self.netlink.execute(&mut batch, &object)
    }

    /// Every table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn tables(&mut self) -> Result<Vec<Table>, Error> {
        let mut batch = Batch::new();
        batch.message("list", kind::GET_TABLE, Flags::DUMP, &Family::Other(0).header());
        let messages = self.netlink.dump(&mut batch, "nftables tables")?;
        Ok(messages.iter().filter_map(read::table).collect())
    }

    /// The elements of a set or map.
    ///
    /// # Errors
    /// `NOENT` when there is no such set.
    pub fn elements(&mut self, table: &Table, set: &str) -> Result<Vec<Element>, Error> {
        let mut batch = Batch::new();
        batch.message("list elements of", kind::GET_ELEMENT, Flags::DUMP, &table.family.header());
        batch.text(set::ELEMENTS_TABLE, &table.name);
        batch.text(set::ELEMENTS_SET, set);
        let messages = self.netlink.dump(&mut batch, set)?;
        Ok(messages.iter().flat_map(read::elements).collect())
    }

    /// Every chain that hangs on a hook, of every table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn base_chains(&mut self) -> Result<Vec<BaseChain>, Error> {
        let mut batch = Batch::new();
        batch.message("list", kind::GET_CHAIN, Flags::DUMP, &Family::Other(0).header());
        let messages = self.netlink.dump(&mut batch, "nftables chains")?;
        Ok(messages.iter().filter_map(read::base_chain).collect())
    }

    /// The rules of a chain, in order; `None` when there is no such chain.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn rules(&mut self, table: &Table, chain: &str) -> Result<Option<Vec<ListedRule>>, Error> {
        let exists = {
            let mut batch = Batch::new();
            batch.message("find chain", kind::GET_CHAIN, Flags::NONE, &table.family.header());
            batch.text(transaction::CHAIN_TABLE, &table.name);
            batch.text(transaction::CHAIN_NAME, chain);
            match self.netlink.get(&mut batch, chain) {
                Ok(_) => true,
                Err(error) if error.errno() == Some(rustix::io::Errno::NOENT) => false,
                Err(error) => return Err(error),
            }
        };
        if !exists {
            return Ok(None);
        }
        let mut batch = Batch::new();
        batch.message("list rules of", kind::GET_RULE, Flags::DUMP, &table.family.header());
        batch.text(rule::RULE_TABLE, &table.name);
        batch.text(rule::RULE_CHAIN, chain);
        let messages = self.netlink.dump(&mut batch, chain)?;
        Ok(Some(messages.iter().filter_map(read::rule).collect()))
    }
}
