//! Being told of changes that others make.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Family, Socket, Table, kind};
use crate::Error;
use crate::netlink::{self, Attributes, text};

/// `NFNLGRP_NFTABLES` as a bit.
const GROUP: u32 = 1 << (7 - 1);
/// The table's name, in messages about tables, chains and rules alike.
const TABLE: u16 = 1;
/// Space for the news of a large transaction, bytes.
const SPACE: usize = 1 << 20;

/// A subscription to changes of tables, chains and rules in one network namespace. It is readable
/// when there is news.
#[derive(Debug)]
pub struct Changes {
    netlink: netlink::Socket,
    ours: u32,
}

/// What has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Tables that somebody made, deleted or changed chains or rules of; each once.
    pub tables: Vec<Table>,
    /// There was more than could be kept: anything may have changed.
    pub missed: bool,
}

impl Changes {
    /// Subscribes in the calling thread's network namespace. What `ours` does is no news.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn subscribe(ours: &Socket) -> Result<Self, Error> {
        let netlink = netlink::Socket::subscribe(netlink::Protocol::Netfilter, GROUP)?;
        netlink.enlarge(SPACE);
        Ok(Self { netlink, ours: ours.netlink.port()? })
    }

    /// Takes everything that has come so far, without waiting. Elements of sets are no news.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take(&mut self) -> Result<News, Error> {
        let (mut news, ours) = (News::default(), self.ours);
        news.missed = self.netlink.news(|sender, message_kind, payload| {
            if sender == ours || !is_structure(message_kind) {
                return;
            }
            if let Some(table) = table(payload).filter(|table| !news.tables.contains(table)) {
                news.tables.push(table);
            }
        })?;
        Ok(news)
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

impl News {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && !self.missed
    }

    /// Whether a table may have changed.
    #[must_use]
    pub fn concerns(&self, table: &Table) -> bool {
        self.missed || self.tables.contains(table)
    }
}

const fn is_structure(message_kind: u16) -> bool {
    matches!(
        message_kind,
        kind::NEW_TABLE
            | kind::DELETE_TABLE
            | kind::NEW_CHAIN
            | kind::DELETE_CHAIN
            | kind::NEW_RULE
            | kind::DELETE_RULE
    )
}

fn table(payload: &[u8]) -> Option<Table> {
    let (family, rest) = payload.split_first()?;
    let name = Attributes::of(rest.get(3..)?).find(TABLE).and_then(text)?;
    Some(Table { family: Family::of_number(*family), name: name.to_owned() })
}
