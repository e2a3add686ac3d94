//! Trees of files, walked by descriptor and without following links.

mod copy;
mod pack;
mod place;
mod walk;

pub(crate) use copy::copy;
pub use pack::pack;
pub use place::{Placing, decompressed, place};
pub(crate) use walk::usage;
