//! A host of the test's own, and machines beside it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use linux::namespace;
use linux::netlink::Batch;
use linux::route::{self, change};
use network::{
    ConnectRequest, Endpoint, Networks, OpenOptions, PoolLimits, Protocol, PublishedPort,
};

/// The instance id of all tests: their namespaces keep them apart.
pub(crate) const INSTANCE: &str = "a1b2c3";

/// How long a connection is given that must succeed: on a busy machine IPv6 addresses take their
/// time to be announced, and a question about them is repeated after a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection is given that must fail.
const IMPATIENCE: Duration = Duration::from_millis(400);

/// Runs a test in a network namespace of its own that stands for the host, on its own thread.
pub(crate) fn on_host(test: impl FnOnce() + Send) {
    namespace::in_new_network(|_home| {
        up("lo");
        test();
    })
    .unwrap();
}

fn up(link: &str) {
    let mut batch = Batch::new();
    change::set_up_by_name(&mut batch, link);
    route::Socket::open().unwrap().execute(&mut batch, link).unwrap();
}

/// The host's networks with a small pool.
pub(crate) fn open() -> Networks {
    let networks = open_with(PoolLimits { least: 2, most: 4 });
    // So that the first container has the first address.
    networks.wait_until_warm();
    networks
}

pub(crate) fn open_with(pool: PoolLimits) -> Networks {
    let options = OpenOptions { instance: INSTANCE.to_owned(), default_network: None, pool };
    let networks = Networks::open(options).unwrap();
    networks.restore(&[]).unwrap();
    networks
}

/// A request of the container with this name.
pub(crate) fn request(name: &str) -> ConnectRequest {
    ConnectRequest {
        container: format!("{:0<64}", stdx::hex::encode(name.as_bytes())),
        name: name.to_owned(),
        hostname: None,
        network: "bridge".to_owned(),
        aliases: Vec::new(),
        ports: Vec::new(),
        mac: None,
        ipv4: None,
        ipv6: None,
        name_servers: Vec::new(),
    }
}

/// A TCP port to publish.
pub(crate) fn tcp(host: Option<&str>, host_port: u16, container_port: u16) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp,
        host_address: host.map(|host| host.parse().unwrap()),
        host_ports: network::PortRange::single(host_port),
        container_port,
    }
}

/// Another machine, with the host's address `192.0.2.1` (and `2001:db8::1`) as its router.
pub(crate) struct Machine {
    pub(crate) namespace: OwnedFd,
}

impl Machine {
    /// Plugs a machine with the address `192.0.2.9` and `2001:db8::9` into the host.
    pub(crate) fn new() -> Self {
        let other = namespace::in_new_network(|namespace| {
            up("lo");
            namespace
        })
        .unwrap();
        let mut socket = route::Socket::open().unwrap();
        let mut batch = Batch::new();
        let bridge = change::Bridge { name: "lan", mac: [2, 0, 0, 0, 0, 1], mtu: 1500, group: 0 };
        change::add_bridge(&mut batch, bridge);
        change::set_up_by_name(&mut batch, "lan");
        socket.execute(&mut batch, "lan").unwrap();
        let master = socket.link("lan").unwrap().unwrap().index;
        let mut batch = Batch::new();
        change::add_veth(
            &mut batch,
            change::Veth {
                name: "port",
                master,
                group: 0,
                mtu: 1500,
                peer: "eth0",
                peer_mac: [2, 0, 0, 0, 0, 9],
                namespace: other.as_fd(),
            },
        );
        change::add_address(&mut batch, master, "192.0.2.1/24".parse().unwrap());
        change::add_address(&mut batch, master, "2001:db8::1/64".parse().unwrap());
        socket.execute(&mut batch, "lan").unwrap();
        namespace::in_network(&other, || {
            up("eth0");
            let mut socket = route::Socket::open().unwrap();
            let index = socket.link("eth0").unwrap().unwrap().index;
            let mut batch = Batch::new();
            change::add_address(&mut batch, index, "192.0.2.9/24".parse().unwrap());
            change::add_address(&mut batch, index, "2001:db8::9/64".parse().unwrap());
            change::add_default_route(&mut batch, index, "192.0.2.1".parse().unwrap());
            change::add_default_route(&mut batch, index, "2001:db8::1".parse().unwrap());
            socket.execute(&mut batch, "eth0").unwrap();
        })
        .unwrap();
        Self { namespace: other }
    }
}

/// A server inside a namespace that answers every connection with the client's address.
pub(crate) fn serve(namespace: &OwnedFd, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let listener =
        namespace::in_network(namespace, || TcpListener::bind(address).unwrap()).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let peer = connection.peer_addr().unwrap().ip().to_canonical().to_string();
            if connection.write_all(peer.as_bytes()).is_err() {
                continue;
            }
        }
    });
}

/// What such a server says to a client in a namespace: how it sees the client.
pub(crate) fn ask(namespace: &OwnedFd, address: &str) -> Result<IpAddr, ErrorKind> {
    namespace::in_network(namespace, || ask_here(address)).unwrap()
}

/// As [`ask`], from the host.
pub(crate) fn ask_here(address: &str) -> Result<IpAddr, ErrorKind> {
    ask_within(PATIENCE, address)
}

/// Whether a client in a namespace gets no answer.
pub(crate) fn is_cut_off(namespace: &OwnedFd, address: &str) -> bool {
    namespace::in_network(namespace, || ask_within(IMPATIENCE, address)).unwrap().is_err()
}

fn ask_within(limit: Duration, address: &str) -> Result<IpAddr, ErrorKind> {
    let address: SocketAddr = address.parse().unwrap();
    let stream = TcpStream::connect_timeout(&address, limit);
    let mut stream = stream.map_err(|error| error.kind())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.kind())?;
    Ok(answer.parse().unwrap())
}

/// Connects a container that serves on port 80, IPv4 and IPv6.
pub(crate) fn web(networks: &Networks, request: &ConnectRequest) -> Endpoint {
    let endpoint = networks.connect(request).unwrap();
    serve(&endpoint.namespace, "[::]:80");
    endpoint
}

/// An address as a test writes it.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `ip -o link` without the numbers: names of this namespace's links.
pub(crate) fn links() -> Vec<String> {
    let links = route::Socket::open().unwrap().links().unwrap();
    links.into_iter().map(|link| link.name).collect()
}

/// `nft list table` of the instance.
pub(crate) fn table() -> String {
    let name = format!("brig-{INSTANCE}");
    let output = stdx::process::output(
        stdx::process::command("nft").args(["-n", "list", "table", "inet", &name]),
    );
    String::from_utf8(output.unwrap().stdout).unwrap()
}
