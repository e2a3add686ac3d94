//! What the standard library lacks; knows no containers.
//!
//! Every other room may use this one, so it stays small: error kinds, random ids, atomic files,
//! length-prefixed frames, human-readable units, keys that detach, secrets and a child-process wrapper.

pub mod boot;
mod error;
pub mod frame;
pub mod fs;
pub mod hex;
pub mod keys;
pub mod process;
pub mod random;
mod secret;
pub mod units;

pub use error::{ErrorKind, chain};
pub use secret::Secret;
