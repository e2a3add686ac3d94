//! Between the engine's types and Docker's wire types, by hand, both ways.
//!
//! Nothing is dropped in silence: what a client asks for and the engine does not have is refused
//! with the option's name.

pub(crate) mod create;
mod error;
pub(crate) mod event;
pub(crate) mod exec;
mod host_config;
mod host_view;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod list_filter;
pub(crate) mod network;
pub(crate) mod path_stat;
pub(crate) mod stats;
pub(crate) mod summary;
pub(crate) mod system;
pub(crate) mod time;
