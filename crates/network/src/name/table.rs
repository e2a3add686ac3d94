//! Names and addresses of containers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use crate::record::{EndpointRecord, Gateway};

/// Names of containers, filled by [`crate::Networks`], read by [`crate::NameService`]. A look-up
/// takes well below a microsecond and waits at most for the change of one entry.
#[derive(Debug, Default)]
pub struct Names {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By container and network: the entry, and the names it is found by.
    endpoints: HashMap<(String, String), (Arc<Entry>, Vec<String>)>,
    names: HashMap<String, Vec<Arc<Entry>>>,
    addresses: HashMap<IpAddr, Arc<Entry>>,
}

/// What the service knows about one container in one network.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) container: String,
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) gateway: Gateway,
    pub(crate) name_servers: Vec<IpAddr>,
}

impl Names {
    /// Adds an endpoint's names; what was known about it before is replaced.
    pub(crate) fn insert(&self, endpoint: &EndpointRecord) {
        let addresses =
            [Some(endpoint.ipv4.addr().into()), endpoint.ipv6.map(|ipv6| ipv6.addr().into())];
        let entry = Arc::new(Entry {
            container: endpoint.container.clone(),
            name: endpoint.name.clone(),
            network: endpoint.network.clone(),
            addresses: addresses.into_iter().flatten().collect(),
            gateway: endpoint.gateway,
            name_servers: endpoint.name_servers.clone(),
        });
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.remove(&endpoint.container, &endpoint.network);
        let mut names: Vec<String> =
            endpoint.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        for name in &names {
            table.names.entry(name.clone()).or_default().push(Arc::clone(&entry));
        }
        for address in &entry.addresses {
            table.addresses.insert(*address, Arc::clone(&entry));
        }
        let place = (endpoint.container.clone(), endpoint.network.clone());
        table.endpoints.insert(place, (entry, names));
    }

    /// Forgets a container in a network.
    pub(crate) fn remove(&self, container: &str, network: &str) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(container, network);
    }

    /// Who asks from this address.
    pub(crate) fn client(&self, address: IpAddr) -> Option<Arc<Entry>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.addresses.get(&address).cloned()
    }

    /// The containers of this name in the client's network, or in any for a client unknown (the
    /// host itself). The name is in lower case, without a final dot.
    pub(crate) fn find(&self, name: &str, client: Option<&Entry>) -> Vec<Arc<Entry>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let entries = table.names.get(name).map_or(&[][..], Vec::as_slice);
        let visible =
            |entry: &&Arc<Entry>| client.is_none_or(|client| client.network == entry.network);
        entries.iter().filter(visible).cloned().collect()
    }
}

impl Table {
    fn remove(&mut self, container: &str, network: &str) {
        let place = (container.to_owned(), network.to_owned());
        let Some((entry, names)) = self.endpoints.remove(&place) else { return };
        for address in &entry.addresses {
            self.addresses.remove(address);
        }
        for name in names {
            if let Some(entries) = self.names.get_mut(&name) {
                entries.retain(|other| !Arc::ptr_eq(other, &entry));
                if entries.is_empty() {
                    self.names.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::MacAddress;

    pub(crate) fn endpoint(container: &str, names: &[&str], ipv4: &str) -> EndpointRecord {
        EndpointRecord {
            container: container.to_owned(),
            name: names[0].to_owned(),
            network: "bridge".to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            link: String::new(),
            interface: "eth0".to_owned(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            ipv4: ipv4.parse().unwrap(),
            ipv6: None,
            gateway: Gateway { ipv4: [10, 0, 0, 1].into(), ipv6: None },
            ports: Vec::new(),
            name_servers: Vec::new(),
        }
    }

    #[test]
    fn names_come_change_and_go() {
        let names = Names::default();
        names.insert(&endpoint("a", &["Web", "front"], "10.0.0.2/24"));
        names.insert(&endpoint("b", &["db", "front"], "10.0.0.3/24"));
        assert_eq!(names.find("web", None)[0].container, "a");
        assert_eq!(names.find("front", None).len(), 2);
        assert_eq!(names.client([10, 0, 0, 3].into()).unwrap().name, "db");
        names.insert(&endpoint("a", &["site"], "10.0.0.2/24"));
        assert!(names.find("web", None).is_empty());
        assert_eq!(names.find("front", None).len(), 1);
        names.remove("b", "bridge");
        assert!(names.find("db", None).is_empty());
        assert_eq!(names.client([10, 0, 0, 3].into()), None);
    }
}
