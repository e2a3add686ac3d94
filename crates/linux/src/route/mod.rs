//! Links, addresses and routes (rtnetlink).
//!
//! Changes are appended to a [`Batch`] by [`change`]'s functions and executed at once; what exists
//! is read by [`Socket::links`], [`Socket::addresses`], [`Socket::routes`].
//! Specification: rtnetlink(7), <https://docs.kernel.org/networking/netlink_spec/rt-link.html>.

mod carrier;
pub mod change;
mod read;
#[cfg(test)]
mod tests;

pub use read::{Address, Link, Route};

use rustix::io::Errno;

use crate::Error;
use crate::netlink::{self, Batch, Flags};

pub(crate) mod kind {
    //! Message types.
    pub(crate) const NEW_LINK: u16 = 16;
    pub(crate) const DELETE_LINK: u16 = 17;
    pub(crate) const GET_LINK: u16 = 18;
    pub(crate) const NEW_ADDRESS: u16 = 20;
    pub(crate) const GET_ADDRESS: u16 = 22;
    pub(crate) const NEW_ROUTE: u16 = 24;
    pub(crate) const GET_ROUTE: u16 = 26;
}

/// A route netlink socket, bound to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    netlink: netlink::Socket,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When descriptors ran out.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { netlink: netlink::Socket::open(netlink::Protocol::Route)? })
    }

    /// Executes changes; `object` stands in errors. All are tried, also after a failed one.
    ///
    /// # Errors
    /// The first change that the kernel refused.
    pub fn execute(&mut self, batch: &mut Batch, object: &str) -> Result<(), Error> {
        self.netlink.execute(batch, object)
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut batch = Batch::new();
        batch.message("list", kind::GET_LINK, Flags::DUMP, &[0; 16]);
        let messages = self.netlink.dump(&mut batch, "links")?;
        Ok(messages.iter().filter_map(read::link).collect())
    }

    /// The link of this name, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut batch = Batch::new();
        batch.message("find link", kind::GET_LINK, Flags::NONE, &[0; 16]);
        batch.text(change::LINK_NAME, name);
        match self.netlink.get(&mut batch, name) {
            Ok(message) => Ok(read::link(&message)),
            Err(error) if error.errno() == Some(Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every address of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let mut batch = Batch::new();
        batch.message("list", kind::GET_ADDRESS, Flags::DUMP, &[0; 8]);
        let messages = self.netlink.dump(&mut batch, "addresses")?;
        Ok(messages.iter().filter_map(read::address).collect())
    }

    /// Every unicast route of every table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut batch = Batch::new();
        batch.message("list", kind::GET_ROUTE, Flags::DUMP, &[0; 12]);
        let messages = self.netlink.dump(&mut batch, "routes")?;
        Ok(messages.iter().filter_map(read::route).collect())
    }
}
