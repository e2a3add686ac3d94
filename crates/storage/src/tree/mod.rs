//! Trees of files, walked by descriptor and without following links.

mod changes;
mod copy;
mod walk;

pub(crate) use changes::changes;
pub use changes::{Change, ChangeKind};
pub(crate) use copy::copy;
pub(crate) use walk::usage;
