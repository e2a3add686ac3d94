//! One atomic change of one table.

use super::rule::{RULE_CHAIN, RULE_HANDLE, RULE_TABLE, RULE_USER_DATA, Rule};
use super::set::{self, DATA_VALUE, Key, Set};
use super::{LIST_ITEM, Table, kind};
use crate::netlink::{Batch, Flags};

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;

/// Bytes of a comment in user data: a 16-bit-free type-length-value with this type.
pub(super) const COMMENT: u8 = 0;

/// Where a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they arrive.
    Prerouting,
    /// For this host.
    Input,
    /// Passing through.
    Forward,
    /// Sent by this host.
    Output,
    /// Before they leave.
    Postrouting,
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }

    pub(super) const fn of_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Prerouting),
            1 => Some(Self::Input),
            2 => Some(Self::Forward),
            3 => Some(Self::Output),
            4 => Some(Self::Postrouting),
            _ => None,
        }
    }
}

/// What happens to packets that no rule decided about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They are discarded.
    Drop,
    /// They pass.
    Accept,
}

/// A base chain to make.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// `filter` or `nat`.
    pub kind: &'a str,
    /// Where it sees packets.
    pub hook: Hook,
    /// Its place among the hook's chains; smaller is earlier.
    pub priority: i32,
    /// For undecided packets.
    pub policy: Policy,
}

/// A change under construction; [`super::Socket::commit`] applies it.
#[derive(Debug, Clone)]
pub struct Transaction {
    batch: Batch,
    table: Table,
    sets: u32,
}

impl Transaction {
    /// A change of this table.
    #[must_use]
    pub fn new(table: &Table) -> Self {
        let mut batch = Batch::new();
        batch.set_transaction();
        batch.message("begin", kind::BEGIN, Flags::NONE, &SUBSYSTEM);
        Self { batch, table: table.clone(), sets: 0 }
    }

    /// Makes the table, unless it exists.
    pub fn add_table(&mut self) {
        self.message("create", kind::NEW_TABLE, Flags::CREATE);
        self.batch.text(TABLE_NAME, &self.table.name);
    }

    /// Deletes the table with everything in it.
    pub fn delete_table(&mut self) {
        self.message("delete", kind::DELETE_TABLE, Flags::NONE);
        self.batch.text(TABLE_NAME, &self.table.name);
    }

    /// Makes a base chain, unless it exists.
    pub fn add_chain(&mut self, chain: Chain<'_>) {
        self.message("create chain in", kind::NEW_CHAIN, Flags::CREATE);
        self.batch.text(CHAIN_TABLE, &self.table.name);
        self.batch.text(CHAIN_NAME, chain.name);
        self.batch.nest(CHAIN_HOOK, |batch| {
            batch.u32_be(HOOK_NUMBER, chain.hook.number());
            batch.bytes(HOOK_PRIORITY, &chain.priority.to_be_bytes());
        });
        self.batch.u32_be(CHAIN_POLICY, u32::from(chain.policy == Policy::Accept));
        self.batch.text(CHAIN_TYPE, chain.kind);
    }

    /// Deletes every rule of a chain.
    pub fn flush_chain(&mut self, chain: &str) {
        self.message("flush chain in", kind::DELETE_RULE, Flags::NONE);
        self.batch.text(RULE_TABLE, &self.table.name);
        self.batch.text(RULE_CHAIN, chain);
    }

    /// Appends a rule to a chain.
    pub fn append_rule(&mut self, chain: &str, rule: &Rule) {
        self.add_rule(Flags::CREATE | Flags::APPEND, chain, rule, None);
    }

    /// Inserts a rule at a chain's head, with a comment to find it by.
    pub fn insert_rule(&mut self, chain: &str, rule: &Rule, comment: &str) {
        self.add_rule(Flags::CREATE, chain, rule, Some(comment));
    }

    /// Deletes one rule by the handle that [`super::Socket::rules`] gave.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.message("delete rule in", kind::DELETE_RULE, Flags::NONE);
        self.batch.text(RULE_TABLE, &self.table.name);
        self.batch.text(RULE_CHAIN, chain);
        self.batch.bytes(RULE_HANDLE, &handle.to_be_bytes());
    }

    /// Makes a set or map, unless it exists with the same types.
    pub fn add_set(&mut self, set: Set<'_>) {
        const MAP: u32 = 8;
        let (key_type, key_length) = set::shape(set.key);
        self.sets += 1;
        let id = self.sets;
        self.message("create set in", kind::NEW_SET, Flags::CREATE);
        let batch = &mut self.batch;
        batch.text(set::SET_TABLE, &self.table.name);
        batch.text(set::SET_NAME, set.name);
        batch.u32_be(set::SET_FLAGS, if set.data.is_empty() { 0 } else { MAP });
        batch.u32_be(set::SET_KEY_TYPE, key_type);
        batch.u32_be(set::SET_KEY_LENGTH, key_length);
        if !set.data.is_empty() {
            let (data_type, data_length) = set::shape(set.data);
            batch.u32_be(set::SET_DATA_TYPE, data_type);
            batch.u32_be(set::SET_DATA_LENGTH, data_length);
        }
        batch.u32_be(set::SET_ID, id);
        batch.bytes(set::SET_USER_DATA, &set::byte_orders(set));
    }

    /// Deletes every element of a set or map.
    pub fn flush_set(&mut self, set: &str) {
        self.message("flush set in", kind::DELETE_ELEMENT, Flags::NONE);
        self.batch.text(set::ELEMENTS_TABLE, &self.table.name);
        self.batch.text(set::ELEMENTS_SET, set);
    }

    /// Adds an element; a map's value is `data`. Fails with `EXIST` if the key has another value;
    /// the same element may be there already.
    pub fn add_element(&mut self, set: &str, key: &Key, data: Option<&Key>) {
        self.element("add element in", kind::NEW_ELEMENT, Flags::CREATE, set);
        element(&mut self.batch, key, data);
    }

    /// Deletes an element; fails with `NOENT` if it is not there.
    pub fn delete_element(&mut self, set: &str, key: &Key) {
        self.element("delete element in", kind::DELETE_ELEMENT, Flags::NONE, set);
        element(&mut self.batch, key, None);
    }

    /// Closes the brackets; `None` if there is nothing to change.
    pub(super) fn finish(mut self) -> Option<(Batch, String)> {
        if self.batch.count() < 2 {
            return None;
        }
        self.batch.message("commit", kind::END, Flags::NONE, &SUBSYSTEM);
        Some((self.batch, format!("nftables table {}", self.table.name)))
    }

    fn add_rule(&mut self, flags: Flags, chain: &str, rule: &Rule, comment: Option<&str>) {
        self.message("add rule in", kind::NEW_RULE, flags);
        self.batch.text(RULE_TABLE, &self.table.name);
        self.batch.text(RULE_CHAIN, chain);
        rule.encode(&mut self.batch);
        if let Some(comment) = comment {
            // Type, length, text with its NUL; our comments are short.
            let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
            let text = comment.bytes().take(usize::from(length) - 1).chain([0]);
            let bytes: Vec<u8> = [COMMENT, length].into_iter().chain(text).collect();
            self.batch.bytes(RULE_USER_DATA, &bytes);
        }
    }

    fn element(&mut self, operation: &'static str, kind: u16, flags: Flags, set: &str) {
        self.message(operation, kind, flags);
        self.batch.text(set::ELEMENTS_TABLE, &self.table.name);
        self.batch.text(set::ELEMENTS_SET, set);
    }

    fn message(&mut self, operation: &'static str, kind: u16, flags: Flags) {
        self.batch.message(operation, kind, flags, &self.table.family.header());
    }
}

/// The header of a transaction's brackets: the subsystem in the last two bytes.
const SUBSYSTEM: [u8; 4] = [0, 0, 0, 10];

fn element(batch: &mut Batch, key: &Key, data: Option<&Key>) {
    batch.nest(set::ELEMENTS_LIST, |batch| {
        batch.nest(LIST_ITEM, |batch| {
            batch.nest(set::ELEMENT_KEY, |batch| batch.bytes(DATA_VALUE, key.as_bytes()));
            if let Some(data) = data {
                batch.nest(set::ELEMENT_DATA, |batch| batch.bytes(DATA_VALUE, data.as_bytes()));
            }
        });
    });
}
