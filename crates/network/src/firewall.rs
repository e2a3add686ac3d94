//! The networks' part of nftables: map elements come and go with endpoints, and what others take
//! comes back.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use linux::nftables::{self, News, Transaction};

use crate::error::Error;
use crate::flow;
use crate::foreign::{self, Foreign};
use crate::networks::Parts;
use crate::pool::lock;
use crate::port::Protocol;
use crate::record::EndpointRecord;
use crate::ruleset::{self, MAPS, PortElement};

impl Parts {
    /// Adds an endpoint's map elements. Whoever has bound a port owns it: an endpoint that still has
    /// the same element is one whose container has ended and that is about to be disconnected. (Of
    /// SCTP ports there may be no sockets: they belong to whoever came first.)
    pub(crate) fn publish(&self, record: &EndpointRecord) -> Result<(), Error> {
        let elements = ruleset::elements(record);
        let mut transaction = Transaction::new(&self.table);
        let bound = |element: &&PortElement| {
            element.key.as_bytes().first() != Some(&Protocol::Sctp.number())
        };
        for element in self.with_another(&elements, record).into_iter().filter(bound) {
            transaction.delete_element(element.map, &element.key);
        }
        for PortElement { map, key, target } in &elements {
            transaction.add_element(map, key, Some(target));
        }
        let mut firewall = lock(&self.firewall);
        match firewall.commit(transaction) {
            // Somebody has flushed it just now.
            Err(error) if is_missing(&error) => self.rebuild(&mut firewall)?,
            Err(error) if is_there(&error) => return Err(in_use(record, error)),
            result => result.map_err(Error::kernel("publish ports of container", &record.name))?,
        }
        drop(firewall);
        flow::published(&self.flows, record);
        Ok(())
    }

    /// The elements whose ports another endpoint has too.
    fn with_another<'a>(
        &self,
        elements: &'a [PortElement],
        record: &EndpointRecord,
    ) -> Vec<&'a PortElement> {
        if elements.is_empty() {
            return Vec::new();
        }
        let endpoints = lock(&self.endpoints);
        let others = endpoints.values().filter(|other| other.container != record.container);
        let theirs: Vec<PortElement> = others.flat_map(ruleset::elements).collect();
        let same =
            |one: &PortElement, other: &PortElement| (one.map, &one.key) == (other.map, &other.key);
        elements.iter().filter(|one| theirs.iter().any(|other| same(one, other))).collect()
    }

    /// Deletes an endpoint's map elements, but those that another one has taken over; that some are
    /// gone already is no failure.
    pub(crate) fn withdraw(&self, endpoint: &EndpointRecord) -> Result<(), Error> {
        let mut elements = ruleset::elements(endpoint);
        let taken: Vec<PortElement> =
            self.with_another(&elements, endpoint).into_iter().cloned().collect();
        elements.retain(|element| !taken.contains(element));
        let failed = || Error::kernel("withdraw ports of container", &endpoint.name);
        let mut firewall = lock(&self.firewall);
        let mut transaction = Transaction::new(&self.table);
        for element in &elements {
            transaction.delete_element(element.map, &element.key);
        }
        match firewall.commit(transaction) {
            Err(error) if is_missing(&error) => {}
            result => return result.map_err(failed()),
        }
        for element in &elements {
            let mut transaction = Transaction::new(&self.table);
            transaction.delete_element(element.map, &element.key);
            unless_missing(firewall.commit(transaction)).map_err(failed())?;
        }
        Ok(())
    }

    /// Makes the maps contain exactly the elements of the live endpoints, in one transaction.
    pub(crate) fn restore_elements(&self, live: &[EndpointRecord]) -> Result<(), Error> {
        let failed = || Error::kernel("restore", "published ports");
        let wanted: HashMap<_, _> = live
            .iter()
            .flat_map(ruleset::elements)
            .map(|element| ((element.map, element.key.as_bytes().to_vec()), element))
            .collect();
        let mut firewall = lock(&self.firewall);
        let mut transaction = Transaction::new(&self.table);
        let mut present = HashSet::new();
        for map in MAPS {
            for element in firewall.elements(&self.table, map).map_err(failed())? {
                let place = (map, element.key);
                let right = wanted.get(&place).is_some_and(|wanted| {
                    element.data.as_deref() == Some(wanted.target.as_bytes())
                });
                if right {
                    present.insert(place);
                } else {
                    transaction.delete_element(map, &nftables::Key::from_bytes(place.1));
                }
            }
        }
        for (place, element) in &wanted {
            if !present.contains(place) {
                transaction.add_element(element.map, &element.key, Some(&element.target));
            }
        }
        firewall.commit(transaction).map_err(failed())
    }

    /// Somebody has changed nftables: a flush took our table, or a firewall came that drops what
    /// is ours.
    pub(crate) fn mend(&self, news: &News) {
        let told = |result: Result<(), Error>| {
            if let Err(error) = result {
                tracing::warn!(error = stdx::chain(&error), "the firewall is not as it should be");
            }
        };
        if news.concerns(&self.table) {
            tracing::info!(table = self.table.name, "somebody changed our nftables table");
            told(self.rebuild(&mut lock(&self.firewall)));
        }
        if self.enters_others.load(Ordering::SeqCst) {
            told(self.outgoing().and_then(|links| self.foreign(|them| them.enter_anew(&links))));
        }
    }

    /// Makes the whole table again, with what is published.
    fn rebuild(&self, firewall: &mut nftables::Socket) -> Result<(), Error> {
        let network = &self.workshop.bridge.record;
        let mut transaction = ruleset::base(&self.table, std::slice::from_ref(network));
        let endpoints = lock(&self.endpoints);
        let published = endpoints.values().flat_map(ruleset::elements);
        for PortElement { map, key, target } in published.chain(lock(&self.service).clone()) {
            transaction.add_element(map, &key, Some(&target));
        }
        firewall.commit(transaction).map_err(Error::kernel("set up", &self.table.name))
    }

    pub(crate) fn outgoing(&self) -> Result<Vec<String>, Error> {
        let mut host = lock(&self.workshop.host);
        let failed = || Error::kernel("list", "links and routes");
        let links = host.links().map_err(failed())?;
        Ok(foreign::outgoing(&links, &host.routes().map_err(failed())?))
    }

    pub(crate) fn foreign<T>(&self, work: impl FnOnce(&mut Foreign<'_>) -> T) -> T {
        let mut socket = lock(&self.firewall);
        let bridge = &self.workshop.bridge.record.link;
        work(&mut Foreign { socket: &mut socket, own: &self.table, bridge })
    }
}

/// Somebody else has one of the ports, which can only be one of those without a socket.
fn in_use(record: &EndpointRecord, error: linux::Error) -> Error {
    let mut ports = record.ports.iter();
    match ports.find(|port| port.protocol == Protocol::Sctp) {
        Some(port) => Error::PortInUse {
            endpoint: record.name.clone(),
            address: match port.host_address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            port: port.host_port,
            protocol: port.protocol,
            holder: None,
        },
        None => Error::kernel("publish ports of container", &record.name)(error),
    }
}

fn is_there(error: &linux::Error) -> bool {
    const EXISTS: i32 = 17;
    error.errno().is_some_and(|errno| errno.raw_os_error() == EXISTS)
}

fn is_missing(error: &linux::Error) -> bool {
    const NO_ENTRY: i32 = 2;
    const NO_DEVICE: i32 = 19;
    error.errno().is_some_and(|errno| [NO_ENTRY, NO_DEVICE].contains(&errno.raw_os_error()))
}

/// What is gone already needs no deletion.
pub(crate) fn unless_missing(result: Result<(), linux::Error>) -> Result<(), linux::Error> {
    match result {
        Err(error) if is_missing(&error) => Ok(()),
        result => result,
    }
}
