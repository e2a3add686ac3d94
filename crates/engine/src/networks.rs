//! The networks of an engine, for those who look at them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::rooms::{self, Rooms};

/// A network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits, the same after every start.
    pub id: String,
    /// `bridge`, `host` or `null`.
    pub driver: &'static str,
    /// The IPv4 prefix and the router's address.
    pub ipv4: Option<(String, String)>,
    /// The IPv6 prefix and the router's address.
    pub ipv6: Option<(String, String)>,
    /// The bridge's link on the host; empty for others.
    pub link: String,
    /// Largest packet, bytes; 0 for others than bridges.
    pub mtu: u32,
}

/// The networks of an engine.
#[derive(Debug)]
pub struct Networks {
    rooms: Arc<Rooms>,
}

impl Networks {
    pub(crate) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms }
    }

    /// All networks: the default bridge, the host's and none.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkView> {
        let instance = self.rooms.store.instance().as_str();
        let bridge = self.rooms.networks.default_network();
        let plain = |name: &str, driver| NetworkView {
            name: name.to_owned(),
            id: network_id(instance, name),
            driver,
            ipv4: None,
            ipv6: None,
            link: String::new(),
            mtu: 0,
        };
        vec![
            NetworkView {
                ipv4: Some((bridge.ipv4.trunc().to_string(), bridge.ipv4.addr().to_string())),
                ipv6: bridge.ipv6.map(|net| (net.trunc().to_string(), net.addr().to_string())),
                link: bridge.link,
                mtu: bridge.mtu,
                ..plain("bridge", "bridge")
            },
            plain("host", "host"),
            plain("none", "null"),
        ]
    }

    /// What firewalls of others do to packets of containers, one sentence each; empty when all is
    /// well.
    ///
    /// # Errors
    /// When the kernel's rules cannot be read.
    pub async fn conflicts(&self) -> Result<Vec<String>> {
        let look = |rooms: &Arc<Rooms>| {
            let conflicts = rooms.networks.conflicts();
            conflicts.map_err(|error| rooms::network("look at", "other firewalls", error))
        };
        self.rooms.blocking("look at other firewalls", look).await
    }

    /// The network of this name, id or unique prefix of an id.
    ///
    /// # Errors
    /// `NoSuchNetwork`, `AmbiguousPrefix`.
    pub fn inspect(&self, name: &str) -> Result<NetworkView> {
        let mut networks = self.list();
        if let Some(found) = networks.iter().position(|network| network.name == name) {
            return Ok(networks.swap_remove(found));
        }
        networks.retain(|network| !name.is_empty() && network.id.starts_with(name));
        match (networks.pop(), networks.is_empty()) {
            (Some(network), true) => Ok(network),
            (Some(_), false) => Err(Error::AmbiguousPrefix(name.to_owned())),
            (None, _) => Err(Error::NoSuchNetwork(name.to_owned())),
        }
    }
}

/// The id of a network of this instance: the same whenever it is asked for.
pub(crate) fn network_id(instance: &str, name: &str) -> String {
    oci::Digest::of(format!("network {instance} {name}").as_bytes()).hex().to_owned()
}
