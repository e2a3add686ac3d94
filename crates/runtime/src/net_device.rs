//! Network interfaces of the host that a container gets for itself (config-linux.md, "Network
//! Devices"), with the addresses they have.
//!
//! When its network namespace ends, the kernel gives a physical one back, and others end with it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use linux::netlink::Batch;
use linux::process::Namespaces;
use linux::route::{Address, Link, Socket, change};
use oci::runtime::NetDevice;
use rustix::io::Errno;

use crate::Error;

/// Name on the host, name in the container.
pub(crate) type NetDevices = Vec<(String, String)>;

/// The most bytes of a name (`IFNAMSIZ`, less its end).
const LONGEST: usize = 15;

/// Checks the names.
pub(crate) fn plan(devices: &BTreeMap<String, NetDevice>) -> Result<NetDevices, Error> {
    let mut planned = NetDevices::new();
    for (host, device) in devices {
        let inside = device.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
        for name in [host.as_str(), inside] {
            let is_wrong = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
            if name.len() > LONGEST || matches!(name, "" | "." | "..") || name.contains(is_wrong) {
                let reason = format!("{name:?} cannot be an interface's name");
                return Err(Error::invalid("linux.netDevices", reason));
            }
        }
        if planned.iter().any(|(_, other)| other == inside) {
            let reason = format!("two are called {inside:?}");
            return Err(Error::invalid("linux.netDevices", reason));
        }
        planned.push((host.clone(), inside.to_owned()));
    }
    Ok(planned)
}

/// Moves them into the container's network namespace, and sets them up there.
pub(crate) fn hand_over(devices: &NetDevices, namespace: BorrowedFd<'_>) -> Result<(), Error> {
    let (mut host, mut inside) = (Socket::open()?, open_in(namespace)?);
    let addresses = host.addresses()?;
    for (name, wanted) in devices {
        let link = find(&mut host, name)?;
        let mut batch = Batch::new();
        change::move_link(&mut batch, link.index, namespace, wanted);
        host.execute(&mut batch, name)?;
        let kept = addresses.iter().filter(|address| address.link == link.index);
        furnish(&mut inside, wanted, kept)?;
    }
    Ok(())
}

/// Its permanent addresses that are for everywhere, and up.
fn furnish<'a>(
    inside: &mut Socket,
    name: &str,
    addresses: impl Iterator<Item = &'a Address>,
) -> Result<(), Error> {
    let link = find(inside, name)?;
    let mut batch = Batch::new();
    for address in addresses.filter(|address| address.is_global && address.is_permanent) {
        change::add_address(&mut batch, link.index, address.address);
    }
    change::set_up(&mut batch, link.index);
    Ok(inside.execute(&mut batch, name)?)
}

fn find(socket: &mut Socket, name: &str) -> Result<Link, Error> {
    let missing = || linux::Error::new("find network interface", name, Errno::NODEV);
    Ok(socket.link(name)?.ok_or_else(missing)?)
}

/// A socket belongs to the namespace it was opened in.
pub(crate) fn open_in(namespace: BorrowedFd<'_>) -> Result<Socket, Error> {
    let own = linux::process::open_own(Namespaces::NETWORK)?;
    linux::process::join(namespace, Namespaces::NETWORK)?;
    let socket = Socket::open();
    linux::process::join(own.as_fd(), Namespaces::NETWORK)?;
    Ok(socket?)
}

#[cfg(test)]
mod tests {
    use super::plan;

    fn names(text: &str) -> Option<Vec<(String, String)>> {
        plan(&serde_json::from_str(text).unwrap()).ok()
    }

    #[test]
    fn names_of_interfaces() {
        let planned = names(r#"{"eth1":{"name":"data"},"eth2":{}}"#).unwrap();
        assert_eq!(planned[0], ("eth1".to_owned(), "data".to_owned()));
        assert_eq!(planned[1], ("eth2".to_owned(), "eth2".to_owned()));
        for wrong in [
            r#"{"":{}}"#,
            r#"{"..":{}}"#,
            r#"{"a b":{}}"#,
            r#"{"eth0":{"name":"a/b"}}"#,
            r#"{"a-name-that-is-too-long":{}}"#,
            r#"{"a":{"name":"x"},"b":{"name":"x"}}"#,
        ] {
            assert_eq!(names(wrong), None, "{wrong}");
        }
    }
}
