//! Trees of files, walked by descriptor and without following links.

mod copy;
mod walk;

pub(crate) use copy::copy;
pub(crate) use walk::usage;
