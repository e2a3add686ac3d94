//! `brig system`: the engine itself.

pub(crate) mod about;
pub(crate) mod check;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod reset;
pub(crate) mod shutdown;
pub(crate) mod version;
