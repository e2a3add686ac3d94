//! `brig network`: networks.

pub(crate) mod inspect;
pub(crate) mod list;
