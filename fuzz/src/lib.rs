//! What targets share.

pub mod edit;
pub mod sandbox;

use std::path::PathBuf;

/// Moves this thread, and those it starts later, into a network that has only a loopback.
///
/// # Panics
/// Without root.
pub fn enter_loopback_only() {
    drop(linux::namespace::unshare_network().expect("a network namespace is made: needs root"));
    let mut socket = linux::route::Socket::open().expect("netlink");
    let mut batch = linux::netlink::Batch::new();
    linux::route::change::set_up_by_name(&mut batch, "lo");
    socket.execute(&mut batch, "lo").expect("the loopback comes up");
}

/// A directory in memory for this run of a target; whoever runs it (`cargo xtask fuzz`) names it in
/// `FUZZ_DIRECTORY` and removes it.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn directory() -> PathBuf {
    let named = std::env::var_os("FUZZ_DIRECTORY").map(PathBuf::from);
    let directory =
        named.unwrap_or_else(|| format!("/dev/shm/brig-fuzz-{}", std::process::id()).into());
    std::fs::create_dir_all(&directory).expect("a directory in memory");
    directory
}
