//! What exists: messages of dumps as values.

use super::transaction::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, COMMENT, HOOK_NUMBER, HOOK_PRIORITY, Hook,
    Policy, TABLE_NAME,
};
use super::{Family, Table, kind, rule, set};
use crate::netlink::{Attributes, Message, text};

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// The key's bytes, as [`super::Key::as_bytes`].
    pub key: Vec<u8>,
    /// A map's value.
    pub data: Option<Vec<u8>>,
}

/// A chain that hangs on a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// The table it is in.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// Where it sees packets.
    pub hook: Hook,
    /// Its place among the hook's chains.
    pub priority: i32,
    /// What becomes of undecided packets.
    pub policy: Policy,
}

/// A rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// To delete it by.
    pub handle: u64,
    /// Its comment, if nft or we gave it one.
    pub comment: Option<String>,
}

pub(super) fn table(message: &Message) -> Option<Table> {
    let (family, attributes) = open(message, kind::NEW_TABLE)?;
    Some(Table { family, name: attributes.find(TABLE_NAME).and_then(text)?.to_owned() })
}

pub(super) fn base_chain(message: &Message) -> Option<BaseChain> {
    let (family, attributes) = open(message, kind::NEW_CHAIN)?;
    let string = |kind| Some(attributes.clone().find(kind).and_then(text)?.to_owned());
    let hook = Attributes::of(attributes.clone().find(CHAIN_HOOK)?);
    let drop = attributes.clone().find(CHAIN_POLICY).and_then(number) == Some(0);
    Some(BaseChain {
        table: Table { family, name: string(CHAIN_TABLE)? },
        name: string(CHAIN_NAME)?,
        hook: hook.clone().find(HOOK_NUMBER).and_then(number).and_then(Hook::of_number)?,
        priority: number(hook.find(HOOK_PRIORITY)?)?.cast_signed(),
        policy: if drop { Policy::Drop } else { Policy::Accept },
    })
}

pub(super) fn elements(message: &Message) -> Vec<Element> {
    let Some((_, attributes)) = open(message, kind::NEW_ELEMENT) else { return Vec::new() };
    let list = Attributes::of(attributes.find(set::ELEMENTS_LIST).unwrap_or_default());
    list.filter_map(|(_, element)| {
        let element = Attributes::of(element);
        let value = |kind| {
            let value = element.clone().find(kind)?;
            Some(Attributes::of(value).find(set::DATA_VALUE)?.to_vec())
        };
        Some(Element { key: value(set::ELEMENT_KEY)?, data: value(set::ELEMENT_DATA) })
    })
    .collect()
}

pub(super) fn rule(message: &Message) -> Option<ListedRule> {
    let (_, attributes) = open(message, kind::NEW_RULE)?;
    let handle = attributes.clone().find(rule::RULE_HANDLE)?.first_chunk()?;
    let comment = attributes.find(rule::RULE_USER_DATA).and_then(comment);
    Some(ListedRule { handle: u64::from_be_bytes(*handle), comment })
}

/// The comment in user data, which is a list of type, length, value in single bytes.
fn comment(mut bytes: &[u8]) -> Option<String> {
    loop {
        let [kind, length, rest @ ..] = bytes else { return None };
        let value = rest.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return text(value).map(ToOwned::to_owned);
        }
        bytes = rest.get(usize::from(*length)..)?;
    }
}

fn open(message: &Message, kind: u16) -> Option<(Family, Attributes<'_>)> {
    let (family, rest) = message.payload.split_first()?;
    let attributes = Attributes::of(rest.get(3..)?);
    (message.kind == kind).then_some((Family::of_number(*family), attributes))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
