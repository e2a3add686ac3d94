//! Which subnets a network gets: pure functions of what the host uses already.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Bits of the host part of every IPv6 subnet.
const IPV6_PREFIX: u8 = 64;

/// The gateway (first address) of the first pool that overlaps nothing in use; `None` when all do.
///
/// Pools are 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/16 in pieces of /20.
pub(crate) fn choose(used: &[Ipv4Net]) -> Option<Ipv4Net> {
    pools().find(|pool| is_free(pool, used)).and_then(|pool| gateway(&pool))
}

/// Whether a subnet overlaps none of those in use. Default routes do not count.
pub(crate) fn is_free(subnet: &Ipv4Net, used: &[Ipv4Net]) -> bool {
    used.iter()
        .filter(|other| other.prefix_len() > 0)
        .all(|other| !other.contains(subnet) && !subnet.contains(other))
}

/// The first address of a subnet, with its prefix length.
fn gateway(subnet: &Ipv4Net) -> Option<Ipv4Net> {
    Ipv4Net::new(subnet.hosts().next()?, subnet.prefix_len()).ok()
}

fn pools() -> impl Iterator<Item = Ipv4Net> {
    let class_b = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let class_c = (0..=240).step_by(16).map(|third| (Ipv4Addr::new(192, 168, third, 0), 20));
    class_b.chain(class_c).filter_map(|(address, prefix)| Ipv4Net::new(address, prefix).ok())
}

/// The gateway of the unique local IPv6 subnet (RFC 4193) that an instance's network has, always
/// the same for the same instance.
pub(crate) fn unique_local(instance: &str, network: &str) -> Option<Ipv6Net> {
    let [_, a, b, c, d, e, f, g] = hash(instance, network).to_be_bytes();
    let segments = [a, b, c, d, e, f, g];
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    for (octet, byte) in octets.iter_mut().skip(1).zip(segments) {
        *octet = byte;
    }
    octets[15] = 1;
    Ipv6Net::new(Ipv6Addr::from(octets), IPV6_PREFIX).ok()
}

/// FNV-1a: spreads the instance's random bits; nothing secret depends on it.
fn hash(instance: &str, network: &str) -> u64 {
    instance.bytes().chain([0]).chain(network.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(used: &[&str], expected: Option<&str>) {
        let used: Vec<Ipv4Net> = used.iter().map(|subnet| subnet.parse().unwrap()).collect();
        assert_eq!(choose(&used), expected.map(|subnet| subnet.parse().unwrap()));
    }

    #[test]
    fn the_first_free_pool_is_chosen() {
        check(&[], Some("172.17.0.1/16"));
        check(&["0.0.0.0/0", "10.0.0.0/8"], Some("172.17.0.1/16"));
        check(&["172.17.0.1/16"], Some("172.18.0.1/16"));
        // A host route of a virtual private network in the middle of a pool, and one around it.
        check(&["172.17.3.4/32", "172.18.0.0/15"], Some("172.20.0.1/16"));
        check(&["172.16.0.0/12"], Some("192.168.0.1/20"));
        check(&["172.16.0.0/12", "192.168.0.0/24"], Some("192.168.16.1/20"));
        check(&["172.16.0.0/12", "192.168.0.0/16"], None);
    }

    #[test]
    fn ipv6_subnets_are_unique_local_and_stable() {
        let subnet = unique_local("a1b2c3", "bridge").unwrap();
        assert_eq!(subnet, unique_local("a1b2c3", "bridge").unwrap());
        assert_ne!(subnet, unique_local("a1b2c4", "bridge").unwrap());
        assert!(subnet.addr().is_unique_local());
        assert!(subnet.to_string().ends_with("::1/64"), "{subnet}");
    }
}
