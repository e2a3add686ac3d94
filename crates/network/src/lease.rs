//! Addresses of one network: who has which is decided here, next-fit, so that an address comes
//! back as late as possible.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Condvar, Mutex, PoisonError};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::error::Error;
use crate::pool::lock;
use crate::record::NetworkRecord;

/// The addresses of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) ipv4: Ipv4Addr,
    pub(crate) ipv6: Option<Ipv6Addr>,
}

/// The leases of a network, shared with the thread that gives them back.
#[derive(Debug)]
pub(crate) struct LeaseBook {
    leases: Mutex<Leases>,
    released: Condvar,
}

impl LeaseBook {
    pub(crate) fn new(record: &NetworkRecord) -> Self {
        Self { leases: Mutex::new(Leases::new(record)), released: Condvar::new() }
    }

    /// As [`Leases::take`]; when what is missing is about to be released, it waits for that
    /// (20 ms, once a link is deleted): for a fixed address that was in use just now, or when a
    /// small subnet is exhausted.
    pub(crate) fn take(
        &self,
        ipv4: Option<Ipv4Addr>,
        ipv6: Option<Ipv6Addr>,
    ) -> Result<Lease, Error> {
        let mut leases = lock(&self.leases);
        loop {
            let error = match leases.take(ipv4, ipv6) {
                Ok(lease) => return Ok(lease),
                Err(error) => error,
            };
            let coming = match &error {
                Error::AddressInUse { address } => leases.expiring.contains(address),
                Error::AddressesExhausted { .. } => !leases.expiring.is_empty(),
                _ => false,
            };
            if !coming {
                return Err(error);
            }
            leases = self.released.wait(leases).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn adopt(&self, lease: Lease) {
        lock(&self.leases).adopt(lease);
    }

    /// The link that has the addresses is about to be deleted.
    pub(crate) fn expire(&self, lease: Lease) {
        let addresses = addresses(lease);
        lock(&self.leases).expiring.extend(addresses);
    }

    /// Makes the addresses available again.
    pub(crate) fn release(&self, lease: Lease) {
        lock(&self.leases).release(lease);
        self.released.notify_all();
    }
}

fn addresses(lease: Lease) -> impl Iterator<Item = IpAddr> {
    [Some(lease.ipv4.into()), lease.ipv6.map(IpAddr::from)].into_iter().flatten()
}

/// Every lease of one network.
#[derive(Debug)]
struct Leases {
    network: String,
    ipv4: Ipv4Net,
    ipv6: Option<Ipv6Net>,
    used: HashSet<IpAddr>,
    /// Those in use whose link is being deleted.
    expiring: HashSet<IpAddr>,
    /// The address most recently handed out.
    cursor: u32,
}

impl Leases {
    fn new(record: &NetworkRecord) -> Self {
        let mut used = HashSet::from([IpAddr::V4(record.ipv4.addr())]);
        used.extend(record.ipv6.map(|subnet| IpAddr::V6(subnet.addr())));
        Self {
            network: record.name.clone(),
            ipv4: record.ipv4,
            ipv6: record.ipv6,
            used,
            expiring: HashSet::new(),
            cursor: record.ipv4.addr().into(),
        }
    }

    /// Takes the addresses asked for; the rest is chosen.
    fn take(&mut self, ipv4: Option<Ipv4Addr>, ipv6: Option<Ipv6Addr>) -> Result<Lease, Error> {
        if let Some(address) = ipv6 {
            self.check_ipv6(address)?;
        }
        let ipv4 = match ipv4 {
            Some(address) => {
                self.check_ipv4(address)?;
                address
            }
            None => self
                .next(ipv6)
                .ok_or_else(|| Error::AddressesExhausted { network: self.network.clone() })?,
        };
        let ipv6 = ipv6.or_else(|| self.derived(ipv4));
        if let Some(address) = ipv6.map(IpAddr::V6).filter(|address| self.used.contains(address)) {
            return Err(Error::AddressInUse { address });
        }
        let lease = Lease { ipv4, ipv6 };
        self.adopt(lease);
        Ok(lease)
    }

    /// Marks a lease as taken, whatever was known before.
    fn adopt(&mut self, lease: Lease) {
        self.used.extend(addresses(lease));
    }

    fn release(&mut self, lease: Lease) {
        for address in addresses(lease) {
            self.used.remove(&address);
            self.expiring.remove(&address);
        }
    }

    /// The next free address after the one most recently handed out, around the subnet once.
    fn next(&mut self, ipv6: Option<Ipv6Addr>) -> Option<Ipv4Addr> {
        let (first, last) = (u32::from(self.ipv4.network()) + 1, u32::from(self.ipv4.broadcast()));
        let cursor = self.cursor.clamp(first, last);
        let found = (cursor + 1..last).chain(first..=cursor.min(last - 1)).find(|number| {
            let address = Ipv4Addr::from(*number);
            let ipv6 = ipv6.or_else(|| self.derived(address));
            !self.used.contains(&address.into())
                && ipv6.is_none_or(|ipv6| !self.used.contains(&ipv6.into()))
        })?;
        self.cursor = found;
        Some(found.into())
    }

    /// The IPv6 address that goes with an IPv4 address: the same host part.
    fn derived(&self, ipv4: Ipv4Addr) -> Option<Ipv6Addr> {
        let host = u32::from(ipv4) - u32::from(self.ipv4.network());
        let prefix = u128::from(self.ipv6?.network());
        Some(Ipv6Addr::from(prefix | u128::from(host)))
    }

    fn check_ipv4(&self, address: Ipv4Addr) -> Result<(), Error> {
        let outside = !self.ipv4.contains(&address)
            || address == self.ipv4.network()
            || address == self.ipv4.broadcast();
        self.check(address.into(), outside)
    }

    fn check_ipv6(&self, address: Ipv6Addr) -> Result<(), Error> {
        let outside = self
            .ipv6
            .is_none_or(|subnet| !subnet.contains(&address) || address == subnet.network());
        self.check(address.into(), outside)
    }

    fn check(&self, address: IpAddr, outside: bool) -> Result<(), Error> {
        if outside {
            return Err(Error::AddressNotUsable { address, network: self.network.clone() });
        }
        if self.used.contains(&address) {
            return Err(Error::AddressInUse { address });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(ipv4: &str) -> Leases {
        Leases::new(&NetworkRecord {
            name: "bridge".to_owned(),
            link: "brig-a1b2c3".to_owned(),
            ipv4: ipv4.parse().unwrap(),
            ipv6: Some("fd00::1/64".parse().unwrap()),
            mtu: 1500,
        })
    }

    fn last_byte(lease: Lease) -> u8 {
        lease.ipv4.octets()[3]
    }

    #[test]
    fn a_released_address_comes_back_last() {
        let mut leases = leases("10.0.0.1/29");
        let taken: Vec<Lease> = (0..5).map(|_| leases.take(None, None).unwrap()).collect();
        assert_eq!(
            taken.iter().map(|lease| last_byte(*lease)).collect::<Vec<_>>(),
            [2, 3, 4, 5, 6]
        );
        assert_eq!(taken[0].ipv6, Some("fd00::2".parse().unwrap()));
        let error = leases.take(None, None).unwrap_err();
        assert_eq!(error.to_string(), "no free address left in network bridge");
        leases.release(taken[3]);
        leases.release(taken[0]);
        assert_eq!(last_byte(leases.take(None, None).unwrap()), 2);
        leases.release(taken[1]);
        assert_eq!(last_byte(leases.take(None, None).unwrap()), 3);
        assert_eq!(last_byte(leases.take(None, None).unwrap()), 5);
    }

    #[test]
    fn fixed_addresses_must_be_free_and_inside() {
        let mut leases = leases("10.0.0.1/29");
        let mut take = |address: &str| {
            let result = leases.take(Some(address.parse().unwrap()), None);
            result.map_or_else(|error| error.to_string(), |lease| lease.ipv4.to_string())
        };
        assert_eq!(take("10.0.0.5"), "10.0.0.5");
        assert_eq!(take("10.0.0.5"), "address 10.0.0.5 is already in use");
        assert_eq!(take("10.0.0.1"), "address 10.0.0.1 is already in use");
        assert_eq!(take("10.0.0.7"), "address 10.0.0.7 is not usable in network bridge");
        assert_eq!(take("10.0.1.2"), "address 10.0.1.2 is not usable in network bridge");
        let ipv6 = leases.take(None, Some("fd00::9".parse().unwrap())).unwrap();
        assert_eq!((last_byte(ipv6), ipv6.ipv6), (2, Some("fd00::9".parse().unwrap())));
        assert!(leases.take(None, Some("fd01::9".parse().unwrap())).is_err());
    }
}
