//! UDP flows that the kernel would go on translating as before a port was published or withdrawn.

use std::net::IpAddr;
use std::sync::Mutex;

use linux::conntrack::Socket;

use crate::pool::lock;
use crate::port::{PortBinding, Protocol};
use crate::record::EndpointRecord;

/// Lets flows to newly published ports be translated anew.
pub(crate) fn published(socket: &Mutex<Socket>, endpoint: &EndpointRecord) {
    let mut ports: Vec<u16> = datagram_ports(endpoint).map(|port| port.host_port).collect();
    ports.dedup();
    for port in ports {
        report(lock(socket).forget_to_port(port));
    }
}

/// Lets flows to a port be translated anew that leads elsewhere by now.
pub(crate) fn redirected(socket: &Mutex<Socket>, port: u16) {
    report(lock(socket).forget_to_port(port));
}

/// Ends flows to a container that is gone.
pub(crate) fn withdrawn(socket: &Mutex<Socket>, endpoint: &EndpointRecord) {
    if datagram_ports(endpoint).next().is_none() {
        return;
    }
    let ipv6 = endpoint.ipv6.map(|ipv6| IpAddr::V6(ipv6.addr()));
    for address in [Some(IpAddr::V4(endpoint.ipv4.addr())), ipv6].into_iter().flatten() {
        report(lock(socket).forget_answered_by(address));
    }
}

fn datagram_ports(endpoint: &EndpointRecord) -> impl Iterator<Item = &PortBinding> {
    endpoint.ports.iter().filter(|port| port.protocol == Protocol::Udp)
}

/// Not a reason to fail: new flows are right, old ones end when their sender pauses.
fn report(result: Result<(), linux::Error>) {
    if let Err(error) = result {
        tracing::warn!(error = stdx::chain(&error), "cannot forget flows");
    }
}
