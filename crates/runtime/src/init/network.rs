//! The loopback device of a network namespace that was made for the container.

use linux::netlink::Batch;
use linux::route::{Socket, change};

use crate::channel::Failure;

/// Sets it up, as every runtime does: a container without any other network has that one.
pub(super) fn set_up_loopback() -> Result<(), Failure> {
    let mut batch = Batch::new();
    change::set_up_by_name(&mut batch, "lo");
    Ok(Socket::open()?.execute(&mut batch, "lo")?)
}
