//! Throw-away worlds for tests: root file systems, images, registries, a brig of one's own.
//!
//! Nothing but tests depends on this crate. Everything it makes lies in a temporary directory and
//! is taken down on drop, also when a test fails. Its functions panic: a test that cannot build its
//! world has failed.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests fail by panicking and talk to a terminal"
)]

pub mod brig;
pub mod forked;
pub mod image;
pub mod process;
pub mod registry;
pub mod vm;

pub use brig::Brig;
pub use registry::Registry;

use std::path::PathBuf;

/// Says why a test does not run on this machine; `name` stands in `tests/skips.toml`.
pub fn skip(name: &str) {
    eprintln!("skipped: {name} (see tests/skips.toml)");
}

/// Where expensive things are kept between test runs: below cargo's target directory.
#[must_use]
pub fn cache_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    );
    let directory = target.join("testkit");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
