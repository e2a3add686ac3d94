//! The name service, asked from inside containers.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use linux::namespace;
use network::{NameService, NameServiceOptions, Networks};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::{Machine, on_host, open, request, tcp, web};

/// The service on a thread of its own, ended on drop.
struct Running {
    cancel: CancellationToken,
    sockets: Vec<OwnedFd>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(networks: &Networks, resolv_conf: &Path, sockets: Vec<OwnedFd>) -> Self {
        let names = networks.names();
        let network = networks.default_network();
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let options = NameServiceOptions {
            addresses: vec![network.ipv4.addr().into(), network.ipv6.unwrap().addr().into()],
            sockets,
            resolv_conf: resolv_conf.to_path_buf(),
            gateway_names: vec!["Host.test".to_owned()],
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let entered = runtime.enter();
        let service = NameService::start(&names, options).unwrap();
        networks.lead_to_names(&service).unwrap();
        let sockets = service.sockets().unwrap();
        drop(entered);
        let thread = std::thread::spawn(move || {
            tracker.close();
            runtime.block_on(tracker.wait());
        });
        Self { cancel, sockets, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str_relaxed(name).unwrap(), kind));
    message
}

fn show(answer: &Message) -> String {
    let mut text = format!("{:?}", answer.metadata.response_code);
    for record in &answer.answers {
        write!(text, " {}", record.data).unwrap();
    }
    text
}

/// Asks by UDP from inside a namespace.
fn ask(namespace: &OwnedFd, server: IpAddr, name: &str, kind: RecordType) -> String {
    ask_at(namespace, SocketAddr::new(server, 53), name, kind)
}

fn ask_at(namespace: &OwnedFd, server: SocketAddr, name: &str, kind: RecordType) -> String {
    namespace::in_network(namespace, || {
        let socket = UdpSocket::bind(SocketAddr::new(
            if server.is_ipv4() { IpAddr::from([0; 4]) } else { [0; 16].into() },
            0,
        ));
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        socket.connect(server).unwrap();
        let question = query(name, kind);
        socket.send(&question.to_vec().unwrap()).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(answer.metadata.id, question.metadata.id);
        if answer.metadata.truncation { "truncated".to_owned() } else { show(&answer) }
    })
    .unwrap()
}

fn ask_by_tcp(namespace: &OwnedFd, server: IpAddr, name: &str, kind: RecordType) -> Message {
    namespace::in_network(namespace, || {
        let mut stream = TcpStream::connect((server, 53)).unwrap();
        let bytes = query(name, kind).to_vec().unwrap();
        stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut buffer).unwrap();
        Message::from_vec(&buffer).unwrap()
    })
    .unwrap()
}

/// A server that knows `example.org`, counts its questions, and for `big.example.org` has an
/// answer that fits no datagram.
fn upstream(address: &str, answer: [u8; 4]) -> Arc<AtomicUsize> {
    let counter = Arc::new(AtomicUsize::new(0));
    let respond = move |bytes: &[u8], datagram: bool| {
        let request = Message::from_vec(bytes).unwrap();
        let question = request.queries[0].clone();
        let name = question.name().clone();
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        reply.add_query(question);
        if name.to_ascii() == "example.org." {
            reply.add_answer(Record::from_rdata(name, 300, RData::A(A(answer.into()))));
        } else if datagram {
            reply.metadata.truncation = true;
        } else {
            for _ in 0..20 {
                let text = RData::TXT(TXT::new(vec!["x".repeat(200)]));
                reply.add_answer(Record::from_rdata(name.clone(), 300, text));
            }
        }
        reply.to_vec().unwrap()
    };
    let datagrams = UdpSocket::bind((address, 53)).unwrap();
    let streams = TcpListener::bind((address, 53)).unwrap();
    let counted = Arc::clone(&counter);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = datagrams.recv_from(&mut buffer).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            datagrams.send_to(&respond(&buffer[..length], true), from).unwrap();
        }
    });
    std::thread::spawn(move || {
        for stream in streams.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut buffer).unwrap();
            let reply = respond(&buffer, false);
            stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
    counter
}

fn resolv_conf(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("resolv.conf"), text).unwrap();
    directory
}

#[test]
fn containers_are_known_by_their_names() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let directory = resolv_conf("nameserver 127.0.0.53");
        let service = Running::start(&networks, &directory.path().join("resolv.conf"), Vec::new());
        let mut wanted = request("web");
        wanted.aliases = vec!["front".to_owned()];
        wanted.hostname = Some("www".to_owned());
        let web = networks.connect(&wanted).unwrap();
        let mut client = networks.connect(&request("client")).unwrap();
        let gateway = client.record.gateway;
        let ask = |name: &str, kind| ask(&client.namespace, gateway.ipv4.into(), name, kind);
        let short = wanted.container.get(..12).unwrap();
        for name in ["web", "WEB.", "front", "www", "web.bridge", short] {
            assert_eq!(ask(name, RecordType::A), "NoError 172.17.0.2", "{name}");
        }
        let ipv6 = web.record.ipv6.unwrap().addr();
        assert_eq!(ask("web", RecordType::AAAA), format!("NoError {ipv6}"));
        assert_eq!(ask("host.test", RecordType::A), "NoError 172.17.0.1");
        assert_eq!(ask("2.0.17.172.in-addr.arpa", RecordType::PTR), "NoError web.bridge.");
        let by_ipv6 = |name: &str| {
            crate::names::ask(&client.namespace, gateway.ipv6.unwrap().into(), name, RecordType::A)
        };
        assert_eq!(by_ipv6("web"), "NoError 172.17.0.2");
        let answer = ask_by_tcp(&client.namespace, gateway.ipv4.into(), "web", RecordType::A);
        assert_eq!(show(&answer), "NoError 172.17.0.2");
        assert!(answer.answers[0].ttl <= 5);
        // A neighbor of the host finds no resolver.
        let socket = UdpSocket::from(service.sockets[0].try_clone().unwrap());
        let real = socket.local_addr().unwrap();
        assert_ne!(real.port(), 53);
        assert_eq!(ask_at(&machine.namespace, real, "web", RecordType::A), "Refused");
        networks.rename(&mut client.record, "other");
        let web_asks = |name: &str| {
            crate::names::ask(&web.namespace, gateway.ipv4.into(), name, RecordType::A)
        };
        assert_eq!(web_asks("other"), "NoError 172.17.0.3");
        assert_eq!(client.record.name, "other");
        // A daemon's successor gets its sockets.
        let sockets = service.sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();
        drop(service);
        let _service = Running::start(&networks, &directory.path().join("resolv.conf"), sockets);
        assert_eq!(web_asks("other"), "NoError 172.17.0.3");
        networks.disconnect(&client.record).unwrap();
        assert_eq!(web_asks("other"), "ServFail");
    });
}

#[test]
fn port_53_is_free_for_the_host_and_for_containers() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let directory = resolv_conf("nameserver 127.0.0.53");
        let path = directory.path().join("resolv.conf");
        // A server of the host has the port on every address.
        let taken = (
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap(),
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, 53)).unwrap(),
        );
        assert!(!networks.has_names());
        let service = Running::start(&networks, &path, Vec::new());
        assert!(networks.has_names());
        let client = networks.connect(&request("client")).unwrap();
        let gateway = client.record.gateway.ipv4;
        let asks = || ask(&client.namespace, gateway.into(), "client", RecordType::A);
        assert_eq!(asks(), "NoError 172.17.0.2");
        drop((taken, service));

        // A container publishes it on every address; names are still answered.
        let _service = Running::start(&networks, &path, Vec::new());
        let mut wanted = request("server");
        wanted.ports = vec![tcp(None, 53, 80)];
        let _server = web(&networks, &wanted);
        assert!(crate::world::ask(&machine.namespace, "192.0.2.1:53").is_ok());
        assert_eq!(asks(), "NoError 172.17.0.2");
        let answer = ask_by_tcp(&client.namespace, gateway.into(), "client", RecordType::A);
        assert_eq!(show(&answer), "NoError 172.17.0.2");
        let host = namespace::current_network().unwrap();
        assert_eq!(ask(&host, gateway.into(), "client", RecordType::A), "NoError 172.17.0.2");
    });
}

#[test]
fn everything_else_is_forwarded_and_kept() {
    on_host(|| {
        let networks = open();
        // The first server is silent: it is there but never answers.
        let _silent = UdpSocket::bind("127.0.0.50:53").unwrap();
        let asked = upstream("127.0.0.53", [192, 0, 2, 53]);
        let directory = resolv_conf("nameserver 127.0.0.50\nnameserver 127.0.0.53\n");
        let path = directory.path().join("resolv.conf");
        let _service = Running::start(&networks, &path, Vec::new());
        let client = networks.connect(&request("client")).unwrap();
        let gateway = client.record.gateway.ipv4.into();
        let started = Instant::now();
        let first = ask(&client.namespace, gateway, "example.org", RecordType::A);
        assert_eq!(first, "NoError 192.0.2.53");
        let hedged = started.elapsed();
        assert!(hedged >= Duration::from_millis(300) && hedged < Duration::from_secs(2));
        let again = ask(&client.namespace, gateway, "EXAMPLE.org", RecordType::A);
        assert_eq!((again.as_str(), asked.load(Ordering::SeqCst)), ("NoError 192.0.2.53", 1));

        // Too long for a datagram: whole by TCP.
        let big = ask(&client.namespace, gateway, "big.example.org", RecordType::TXT);
        assert_eq!(big, "truncated");
        let big = ask_by_tcp(&client.namespace, gateway, "big.example.org", RecordType::TXT);
        assert_eq!(big.answers.len(), 20);

        // A container's own servers, and the host's when they change.
        let _other = upstream("127.0.0.54", [192, 0, 2, 54]);
        let mut wanted = request("own");
        wanted.name_servers = vec!["127.0.0.54".parse().unwrap()];
        let own = networks.connect(&wanted).unwrap();
        let answer = ask(&own.namespace, gateway, "example.org", RecordType::A);
        assert_eq!(answer, "NoError 192.0.2.54");
        stdx::fs::write_atomic(&path, b"nameserver 127.0.0.54", stdx::fs::Durability::Volatile)
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while ask(&client.namespace, gateway, "example.org", RecordType::A) != "NoError 192.0.2.54"
        {
            assert!(Instant::now() < deadline, "the change was not seen");
        }
    });
}

#[test]
#[ignore = "a measurement"]
fn measure_names() {
    on_host(|| {
        let networks = open();
        let directory = resolv_conf("nameserver 127.0.0.53");
        let _service = Running::start(&networks, &directory.path().join("resolv.conf"), Vec::new());
        let client = networks.connect(&request("client")).unwrap();
        let gateway = client.record.gateway.ipv4;
        let socket = namespace::in_network(&client.namespace, || {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()
        })
        .unwrap();
        socket.connect((gateway, 53)).unwrap();
        let question = query("client", RecordType::A).to_vec().unwrap();
        let mut buffer = [0; 512];
        let mut times: Vec<Duration> = (0..5000)
            .map(|_| {
                let started = Instant::now();
                socket.send(&question).unwrap();
                socket.recv(&mut buffer).unwrap();
                started.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("name, question to answer: median {:?}, 99 % {:?}", times[2500], times[4950]);
    });
}
