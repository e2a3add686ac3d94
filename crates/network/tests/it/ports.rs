//! Published ports: from outside, from the host, by hairpin; and who must not get in.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use linux::namespace;
use network::{ConnectRequest, Endpoint, Error, Networks, PortRange, Protocol, PublishedPort};
use testkit::process::eventually;

use crate::world::{
    Machine, ask, ask_here, ip, is_cut_off, links, on_host, open, request, serve, table, tcp, web,
};

#[test]
fn a_port_is_reached_from_everywhere_and_the_source_is_kept() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let web = web(&networks, &wanted);
        let client = networks.connect(&request("client")).unwrap();
        let gateway = ip("172.17.0.1");
        // Another machine: its own address arrives.
        assert_eq!(ask(&machine.namespace, "192.0.2.1:8080"), Ok(ip("192.0.2.9")));
        assert_eq!(ask(&machine.namespace, "[2001:db8::1]:8080"), Ok(ip("2001:db8::9")));
        // The host's loopback and its other addresses.
        assert_eq!(ask_here("127.0.0.1:8080"), Ok(gateway));
        assert_eq!(ask_here("127.0.0.2:8080"), Ok(gateway));
        assert_eq!(ask_here("192.0.2.1:8080"), Ok(ip("192.0.2.1")));
        assert_eq!(ask_here("172.17.0.1:8080"), Ok(gateway));
        assert_eq!(ask_here("[2001:db8::1]:8080"), Ok(ip("2001:db8::1")));
        // Another container and the container itself, by the host's addresses.
        for address in ["172.17.0.1:8080", "192.0.2.1:8080"] {
            assert_eq!(ask(&client.namespace, address), Ok(gateway));
            assert_eq!(ask(&web.namespace, address), Ok(gateway));
        }
        let gateway6 = web.record.gateway.ipv6.unwrap();
        assert_eq!(ask(&web.namespace, "[2001:db8::1]:8080"), Ok(gateway6.into()));
        // ::1 is for whoever serves the listener.
        assert_eq!(web.splice.len(), 1);
        assert_eq!(web.splice[0].target.to_string(), "172.17.0.2:80");
        let listener = TcpListener::from(web.splice[0].listener.try_clone().unwrap());
        let waiting = std::thread::spawn(|| std::net::TcpStream::connect("[::1]:8080"));
        waiting.join().unwrap().unwrap();
        listener.accept().unwrap();

        networks.disconnect(&web.record).unwrap();
        assert!(!table().contains("172.17.0.2"), "{}", table());
        drop(web);
        assert_eq!(ask_here("127.0.0.1:8080"), Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn what_is_not_published_to_the_world_stays_closed() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let mut wanted = request("web");
        let loopback = Some("127.0.0.1");
        let udp = PublishedPort { protocol: Protocol::Udp, ..tcp(loopback, 5353, 53) };
        wanted.ports = vec![tcp(loopback, 8080, 80), udp];
        let web = web(&networks, &wanted);
        assert_eq!(ask_here("127.0.0.1:8080"), Ok(ip("172.17.0.1")));
        assert!(is_cut_off(&machine.namespace, "192.0.2.1:8080"));
        // A neighbor who routes the host's loopback or the containers' subnet to the host.
        stdx::process::output(stdx::process::command("nsenter").args([
            &format!("--net=/proc/{}/fd/{}", std::process::id(), fd(&machine.namespace)),
            "sh",
            "-c",
            "ip route add 172.17.0.0/16 via 192.0.2.1; \
             ip route del local 127.0.0.0/8 dev lo table local; \
             ip route del local 127.0.0.1 dev lo table local; \
             ip route add 127.0.0.0/8 via 192.0.2.1 src 192.0.2.9; \
             echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
        ]))
        .unwrap();
        assert!(is_cut_off(&machine.namespace, "127.0.0.1:8080"));
        // A datagram needs no way back.
        let bind = |namespace, address| {
            namespace::in_network(namespace, || UdpSocket::bind(address).unwrap()).unwrap()
        };
        let server = bind(&web.namespace, "0.0.0.0:53");
        server.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let far = bind(&machine.namespace, "192.0.2.9:0");
        assert_eq!(far.send_to(b"x", "127.0.0.1:5353").unwrap(), 1);
        assert_eq!(server.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(is_cut_off(&machine.namespace, "172.17.0.2:80"));
        let ipv6 = web.record.ipv6.unwrap().addr();
        assert!(is_cut_off(&machine.namespace, &format!("[{ipv6}]:80")));
        // The test means something only if the neighbor's packets arrived and were dropped.
        let dropped = table();
        let counts = |rule: &str| {
            let line = dropped.lines().find(|line| line.contains(rule));
            !line.unwrap().contains("packets 0 ")
        };
        assert!(counts("ip daddr 127.0.0.0/8 counter"), "{dropped}");
        assert!(counts("oifname @bridges counter"), "{dropped}");
        assert!(ask(&web.namespace, "192.0.2.9:80") == Err(ErrorKind::ConnectionRefused));
    });
}

fn fd(descriptor: &impl std::os::fd::AsRawFd) -> i32 {
    descriptor.as_raw_fd()
}

#[test]
fn containers_reach_the_world_in_the_hosts_name() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        serve(&machine.namespace, "[::]:80");
        let client = networks.connect(&request("client")).unwrap();
        assert_eq!(ask(&client.namespace, "192.0.2.9:80"), Ok(ip("192.0.2.1")));
        assert_eq!(ask(&client.namespace, "[2001:db8::9]:80"), Ok(ip("2001:db8::1")));
    });
}

#[test]
fn a_port_in_use_is_refused_and_the_holder_named() {
    on_host(|| {
        let networks = open();
        let taken = TcpListener::bind("127.0.0.1:8080").unwrap();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let error = networks.connect(&wanted).unwrap_err();
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(
            error.to_string(),
            format!(
                "driver failed programming external connectivity on endpoint web: Bind for \
                 0.0.0.0:8080 failed: port is already allocated by {} (process {})",
                own.trim(),
                std::process::id()
            )
        );
        drop(taken);
        let first = networks.connect(&wanted).unwrap();
        wanted = request("other");
        wanted.ports = vec![tcp(Some("127.0.0.1"), 8080, 80)];
        let error = networks.connect(&wanted).unwrap_err();
        assert!(error.to_string().ends_with("already allocated by container web"), "{error}");
        assert_eq!(error.hint().unwrap(), "stop container web or publish another host port");
        // Nobody else can serve there either.
        assert_eq!(TcpListener::bind("127.0.0.1:8080").unwrap_err().kind(), ErrorKind::AddrInUse);
        // The failed attempts left nothing: the port is free with the first container.
        networks.disconnect(&first.record).unwrap();
        drop(first);
        connect_soon(&networks, &wanted);
        assert!(matches!(
            networks.connect(&{
                let mut wanted = request("far");
                wanted.ports = vec![tcp(Some("203.0.113.1"), 80, 80)];
                wanted
            }),
            Err(Error::NoSuchHostAddress { .. })
        ));
    });
}

#[test]
fn a_connection_being_forgotten_does_not_block_a_port() {
    on_host(|| {
        // The side that closes first keeps the port in TIME-WAIT.
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let client = std::net::TcpStream::connect("127.0.0.1:8080").unwrap();
        drop(listener.accept().unwrap());
        drop((client, listener));
        let networks = open();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let endpoint = networks.connect(&wanted).unwrap();
        assert_eq!(TcpListener::bind("0.0.0.0:8080").unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(endpoint);
    });
}

#[test]
fn ports_are_chosen_from_ranges() {
    on_host(|| {
        let networks = open();
        let taken = TcpListener::bind("[::]:9000").unwrap();
        let mut wanted = request("web");
        wanted.ports = vec![
            PublishedPort {
                protocol: Protocol::Tcp,
                host_address: None,
                host_ports: PortRange { start: 9000, end: 9002 },
                container_port: 80,
            },
            tcp(None, 0, 81),
        ];
        let web = web(&networks, &wanted);
        let ports = &web.record.ports;
        let hosts: Vec<_> =
            ports.iter().take(2).map(|port| (port.host_address, port.host_port)).collect();
        assert_eq!(hosts, [(ip("0.0.0.0"), 9001), (ip("::"), 9001)]);
        assert_ne!(ports[2].host_port, 0);
        assert_eq!(ports[2].host_port, ports[3].host_port);
        assert_eq!(ask_here("127.0.0.1:9001"), Ok(ip("172.17.0.1")));
        drop(taken);
        let mut wrong = request("wrong");
        wrong.ports = vec![PublishedPort {
            host_ports: PortRange { start: 9, end: 8 },
            ..wanted.ports[0].clone()
        }];
        let error = networks.connect(&wrong).unwrap_err();
        assert_eq!(error.to_string(), "invalid network request: invalid range of host ports 9-8");
    });
}

#[test]
fn datagrams_and_their_answers_pass() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let mut wanted = request("echo");
        let udp = PublishedPort { protocol: Protocol::Udp, ..tcp(None, 5353, 53) };
        wanted.ports = vec![udp];
        let echo = networks.connect(&wanted).unwrap();
        let server =
            namespace::in_network(&echo.namespace, || UdpSocket::bind("0.0.0.0:53").unwrap())
                .unwrap();
        let exchange = |client: UdpSocket, address: &str| {
            client.send_to(b"ping", address).unwrap();
            let mut buffer = [0; 16];
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(b"pong", from).unwrap();
            let (length, answerer) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"pong");
            assert_eq!(answerer.to_string(), address);
            from.ip()
        };
        let far = namespace::in_network(&machine.namespace, || {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()
        });
        assert_eq!(exchange(far.unwrap(), "192.0.2.1:5353"), ip("192.0.2.9"));
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(exchange(near, "127.0.0.1:5353"), ip("172.17.0.1"));
        assert!(!links().is_empty());
    });
}

#[test]
fn a_foreign_firewall_is_entered_and_left() {
    on_host(|| {
        let machine = Machine::new();
        let nft = "table ip filter { chain FORWARD { type filter hook forward priority 0; \
                   policy drop; jump DOCKER-USER; }; chain DOCKER-USER { return; }; }";
        stdx::process::output(stdx::process::command("nft").arg(nft)).unwrap();
        let before = foreign_table();
        let networks = open();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let web = web(&networks, &wanted);
        serve(&machine.namespace, "[::]:80");
        let conflicts = networks.conflicts().unwrap();
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        assert!(is_cut_off(&machine.namespace, "192.0.2.1:8080"));
        networks.enter_foreign_firewalls().unwrap();
        networks.enter_foreign_firewalls().unwrap();
        assert_eq!(networks.conflicts().unwrap(), Vec::<String>::new());
        assert_eq!(ask(&machine.namespace, "192.0.2.1:8080"), Ok(ip("192.0.2.9")));
        networks.leave_foreign_firewalls().unwrap();
        assert_eq!(foreign_table(), before);
        drop(web);
    });
}

fn nft(text: &str) {
    stdx::process::output(stdx::process::command("nft").arg(text)).unwrap();
}

#[test]
fn a_flush_of_all_rules_is_made_good() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let web = web(&networks, &wanted);
        for _ in 0..3 {
            nft("flush ruleset");
            eventually("the table is back", Duration::from_secs(20), || {
                ask(&machine.namespace, "192.0.2.1:8080").ok()
            });
        }
        // Nothing is lost while the table is being made again.
        for port in 9000..9010 {
            nft("flush ruleset");
            let mut wanted = request(&format!("c{port}"));
            wanted.ports = vec![tcp(None, port, 80)];
            let endpoint = networks.connect(&wanted).unwrap();
            eventually("it is published", Duration::from_secs(20), || {
                table_now()?.contains(&format!("{port} :")).then_some(())
            });
            networks.disconnect(&endpoint.record).unwrap();
        }
        networks.disconnect(&web.record).unwrap();
        networks.close();
        assert!(table_now().is_none());
    });
}

#[test]
fn a_port_goes_from_a_container_that_has_ended_to_the_next() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let mut wanted = request("first");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let first = networks.connect(&wanted).unwrap();
        // Its monitor has let go of the ports; the engine has not come to take them back.
        let ended = first.record.clone();
        drop(first);
        let mut wanted = request("second");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let second = web(&networks, &wanted);
        let reached = || ask(&machine.namespace, "192.0.2.1:8080");
        assert_eq!(reached(), Ok(ip("192.0.2.9")));
        networks.disconnect(&ended).unwrap();
        assert_eq!(reached(), Ok(ip("192.0.2.9")));
        networks.disconnect(&second.record).unwrap();
        assert!(!table().contains("8080 :"), "{}", table());
    });
}

#[test]
fn a_port_without_a_socket_belongs_to_whoever_came_first() {
    on_host(|| {
        let networks = open();
        let asked = |name: &str| {
            let mut wanted = request(name);
            let port = tcp(None, 7777, 80);
            wanted.ports = vec![PublishedPort { protocol: Protocol::Sctp, ..port }];
            networks.connect(&wanted)
        };
        let first = asked("first").unwrap();
        let error = asked("second").unwrap_err();
        assert!(matches!(&error, Error::PortInUse { port: 7777, .. }), "{error}");
        assert!(
            error.to_string().contains("7777 failed: port is already allocated by "),
            "{error}"
        );
        networks.disconnect(&first.record).unwrap();
        drop(first);
        assert!(asked("third").is_ok());
    });
}

/// The instance's table, if there is one.
fn table_now() -> Option<String> {
    let mut list = stdx::process::command("nft");
    let output = list.args(["list", "table", "inet", "brig-a1b2c3"]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_firewall_that_comes_later_is_entered_too() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        networks.enter_foreign_firewalls().unwrap();
        let mut wanted = request("web");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let _web = web(&networks, &wanted);
        let reached = || ask(&machine.namespace, "192.0.2.1:8080").ok();
        assert!(reached().is_some());
        for _ in 0..2 {
            nft("table ip filter { chain FORWARD { type filter hook forward priority 0; \
                 policy drop; jump DOCKER-USER; }; chain DOCKER-USER { return; }; }");
            eventually("our rules are there", Duration::from_secs(20), || {
                foreign_table().contains("brig-a1b2c3").then_some(())
            });
            assert!(reached().is_some());
            nft("delete table ip filter");
        }
    });
}

fn foreign_table() -> String {
    let output = stdx::process::output(
        stdx::process::command("nft").args(["list", "table", "ip", "filter"]),
    );
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_datagram_flow_follows_the_port() {
    on_host(|| {
        let machine = Machine::new();
        let networks = open();
        let client = namespace::in_network(&machine.namespace, || {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap()
        })
        .unwrap();
        let say = |what: u8| client.send_to(&[what], "192.0.2.1:5353").unwrap();
        // Nobody listens yet; the kernel remembers the flow all the same.
        say(0);
        for (turn, name) in [(1, "first"), (2, "second")] {
            let mut wanted = request(name);
            wanted.ports = vec![PublishedPort { protocol: Protocol::Udp, ..tcp(None, 5353, 53) }];
            let endpoint = connect_soon(&networks, &wanted);
            let server = namespace::in_network(&endpoint.namespace, || {
                UdpSocket::bind("0.0.0.0:53").unwrap()
            })
            .unwrap();
            server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            say(turn);
            let mut buffer = [0];
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((buffer, from.ip()), ([turn], ip("192.0.2.9")));
            networks.disconnect(&endpoint.record).unwrap();
        }
    });
}

#[test]
fn the_table_reads_as_it_is_meant() {
    on_host(|| {
        let networks = open();
        let mut wanted = request("web");
        let udp = PublishedPort { protocol: Protocol::Udp, ..tcp(Some("127.0.0.1"), 5353, 53) };
        wanted.ports = vec![tcp(None, 8080, 80), udp];
        let web = networks.connect(&wanted).unwrap();
        expect_test::expect![[r#"
            table inet brig-a1b2c3 {
            	map bound4 {
            		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
            		elements = { 17 . 127.0.0.1 . 5353 : 172.17.0.2 . 53 }
            	}

            	map any4 {
            		type inet_proto . inet_service : ipv4_addr . inet_service
            		elements = { 6 . 8080 : 172.17.0.2 . 80 }
            	}

            	map bound6 {
            		type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service
            	}

            	map any6 {
            		type inet_proto . inet_service : ipv6_addr . inet_service
            		elements = { 6 . 8080 : fd71:df1a:6ebd:5d86::2 . 80 }
            	}

            	map names4 {
            		type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
            	}

            	map names6 {
            		type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service
            	}

            	set bridges {
            		type ifname
            		elements = { "brig-a1b2c3" }
            	}

            	set within {
            		type ifname . ifname
            		elements = { "brig-a1b2c3" . "brig-a1b2c3" }
            	}

            	chain guard {
            		type filter hook prerouting priority -300; policy accept;
            		iifname != "lo" ip daddr 127.0.0.0/8 counter packets 0 bytes 0 drop
            		iifname != "lo" ip saddr 127.0.0.0/8 counter packets 0 bytes 0 drop
            	}

            	chain prerouting {
            		type nat hook prerouting priority -100; policy accept;
            		iifname @bridges dnat ip to meta l4proto . ip daddr . th dport map @names4
            		iifname @bridges dnat ip6 to meta l4proto . ip6 daddr . th dport map @names6
            		dnat ip to meta l4proto . ip daddr . th dport map @bound4
            		meta nfproto 2 fib daddr type 2 dnat ip to meta l4proto . th dport map @any4
            		dnat ip6 to meta l4proto . ip6 daddr . th dport map @bound6
            		ip6 daddr != ::1 fib daddr type 2 dnat ip6 to meta l4proto . th dport map @any6
            	}

            	chain output {
            		type nat hook output priority -100; policy accept;
            		dnat ip to meta l4proto . ip daddr . th dport map @bound4
            		meta nfproto 2 fib daddr type 2 dnat ip to meta l4proto . th dport map @any4
            		dnat ip6 to meta l4proto . ip6 daddr . th dport map @bound6
            		ip6 daddr != ::1 fib daddr type 2 dnat ip6 to meta l4proto . th dport map @any6
            		dnat ip to meta l4proto . ip daddr . th dport map @names4
            		dnat ip6 to meta l4proto . ip6 daddr . th dport map @names6
            	}

            	chain postrouting {
            		type nat hook postrouting priority 100; policy accept;
            		ip saddr 127.0.0.0/8 oifname "brig-a1b2c3" masquerade
            		ip saddr 172.17.0.0/16 oifname "brig-a1b2c3" ct status 0x20 masquerade
            		ip saddr 172.17.0.0/16 oifname != "brig-a1b2c3" oifname != "lo" masquerade
            		ip6 saddr fd71:df1a:6ebd:5d86::/64 oifname "brig-a1b2c3" ct status 0x20 masquerade
            		ip6 saddr fd71:df1a:6ebd:5d86::/64 oifname != "brig-a1b2c3" oifname != "lo" masquerade
            	}

            	chain forward {
            		type filter hook forward priority 0; policy accept;
            		oifname @bridges ct state 0x2,0x4 accept
            		oifname @bridges ct status 0x20 accept
            		iifname . oifname @within accept
            		oifname @bridges counter packets 0 bytes 0 drop
            	}
            }
        "#]]
        .assert_eq(&table());
        drop(web);
    });
}

/// Connects as soon as a port that was released is free: other tests of this process may be
/// starting a program, which has our descriptors until it runs.
fn connect_soon(networks: &Networks, request: &ConnectRequest) -> Endpoint {
    testkit::process::eventually("the port is free", Duration::from_secs(5), || {
        match networks.connect(request) {
            Err(Error::PortInUse { holder: None, .. }) => None,
            result => Some(result.unwrap()),
        }
    })
}
