//! Which process has a port: read from /proc, only to explain a failure.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::PortHolder;
use crate::port::Protocol;

/// A process of this host with a socket that stands in the way of binding `address` and `port`.
pub(crate) fn process(protocol: Protocol, address: IpAddr, port: u16) -> Option<PortHolder> {
    let tables = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
        Protocol::Sctp => return None,
    };
    let inode = tables.iter().find_map(|table| {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        text.lines().skip(1).find_map(|line| inode(line, address, port))
    })?;
    owner(&format!("socket:[{inode}]"))
}

/// The inode of a line of /proc/net/tcp whose local address conflicts.
fn inode(line: &str, address: IpAddr, port: u16) -> Option<u64> {
    let mut columns = line.split_whitespace().skip(1);
    let (host, found) = columns.next()?.split_once(':')?;
    let host = parse(host)?;
    let conflict = host.is_unspecified() || address.is_unspecified() || host == address;
    if !conflict || u16::from_str_radix(found, 16).ok()? != port {
        return None;
    }
    // Sockets without an owner (TIME-WAIT) have inode 0.
    columns.nth(7)?.parse().ok().filter(|inode| *inode != 0)
}

/// Addresses stand there as hexadecimal words in the machine's byte order.
fn parse(text: &str) -> Option<IpAddr> {
    let bytes = stdx::hex::decode(text)?;
    let octets: Vec<u8> = bytes
        .chunks_exact(4)
        .filter_map(|word| <[u8; 4]>::try_from(word).ok())
        .flat_map(|word| u32::from_be_bytes(word).to_ne_bytes())
        .collect();
    match octets.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical()),
        _ => None,
    }
}

fn owner(socket: &str) -> Option<PortHolder> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
            descriptors
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .any(|target| target.as_os_str() == socket)
        })
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            PortHolder::Process { pid, name: name.trim_end().to_owned() }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernel_are_understood() {
        let line = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0";
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(inode(line, loopback, 8080), Some(4242));
        assert_eq!(inode(line, Ipv4Addr::UNSPECIFIED.into(), 8080), Some(4242));
        assert_eq!(inode(line, IpAddr::from([10, 0, 0, 1]), 8080), None);
        assert_eq!(inode(line, loopback, 80), None);
        assert_eq!(parse("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let found = process(Protocol::Tcp, address.ip(), address.port());
        let Some(PortHolder::Process { pid, .. }) = found else { panic!("{found:?}") };
        assert_eq!(pid, std::process::id());
    }
}
