//! Containers reach each other, the host and the world; and what is left of them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use network::{Error, Networks, OpenOptions, PoolLimits};

use crate::world::{
    INSTANCE, ask, ask_here, ip, links, on_host, open, open_with, request, table, tcp, web,
};

#[test]
fn containers_reach_each_other_and_the_host() {
    on_host(|| {
        let networks = open();
        let web = web(&networks, &request("web"));
        let client = networks.connect(&request("client")).unwrap();
        assert_eq!(web.record.ipv4.to_string(), "172.17.0.2/16");
        assert_eq!(client.record.ipv4.to_string(), "172.17.0.3/16");
        assert_eq!(ask(&client.namespace, "172.17.0.2:80"), Ok(ip("172.17.0.3")));
        let ipv6 = format!("[{}]:80", web.record.ipv6.unwrap().addr());
        assert_eq!(ask(&client.namespace, &ipv6), Ok(client.record.ipv6.unwrap().addr().into()));
        assert_eq!(ask_here("172.17.0.2:80"), Ok(ip("172.17.0.1")));
        assert_eq!(ask_here(&ipv6), Ok(web.record.gateway.ipv6.unwrap().into()));
        assert_eq!(ask(&client.namespace, "172.17.0.2:81"), Err(ErrorKind::ConnectionRefused));
    });
}

#[test]
fn the_first_packet_of_a_cold_endpoint_arrives() {
    on_host(|| {
        let networks = open_with(PoolLimits { least: 0, most: 0 });
        let host = std::net::UdpSocket::bind("172.17.0.1:9").unwrap();
        host.set_read_timeout(Some(Duration::from_millis(900))).unwrap();
        for round in 0..30 {
            let endpoint = networks.connect(&request(&format!("c{round}"))).unwrap();
            linux::namespace::in_network(&endpoint.namespace, || {
                let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(&[round], "172.17.0.1:9").unwrap();
            })
            .unwrap();
            let mut buffer = [0];
            host.recv(&mut buffer).unwrap();
            assert_eq!(buffer, [round]);
        }
    });
}

#[test]
fn fixed_addresses_are_honored_and_guarded() {
    on_host(|| {
        let networks = open();
        let mut wanted = request("fixed");
        wanted.ipv4 = Some("172.17.0.77".parse().unwrap());
        wanted.mac = Some("02:00:00:00:00:77".parse().unwrap());
        let fixed = web(&networks, &wanted);
        assert_eq!(fixed.record.ipv4.to_string(), "172.17.0.77/16");
        assert_eq!(fixed.record.mac.to_string(), "02:00:00:00:00:77");
        assert_eq!(ask_here("172.17.0.77:80"), Ok(ip("172.17.0.1")));
        wanted.container = request("second").container;
        assert!(matches!(networks.connect(&wanted), Err(Error::AddressInUse { .. })));
        // The same address again, at once: the old link must go first.
        networks.disconnect(&fixed.record).unwrap();
        let again = web(&networks, &wanted);
        assert_ne!(again.record.link, fixed.record.link);
        assert_eq!(ask_here("172.17.0.77:80"), Ok(ip("172.17.0.1")));
        // An address that the pool holds in stock, alone and with a hardware address.
        networks.wait_until_warm();
        for (name, mac) in [("stock", None), ("stock-mac", Some("02:00:00:00:00:78"))] {
            let next = networks.connect(&request(&format!("{name}-before"))).unwrap().record;
            networks.wait_until_warm();
            let mut stock = request(name);
            stock.ipv4 = Some((u32::from(next.ipv4.addr()) + 1).into());
            stock.mac = mac.map(|mac| mac.parse().unwrap());
            let record = networks.connect(&stock).unwrap().record;
            assert_eq!(Some(record.ipv4.addr()), stock.ipv4);
            assert!(stock.mac.is_none_or(|mac| mac == record.mac));
        }
        let mut elsewhere = request("elsewhere");
        elsewhere.network = "nowhere".to_owned();
        let error = networks.connect(&elsewhere).unwrap_err();
        assert_eq!(error.to_string(), "network nowhere not found");
    });
}

#[test]
fn loopback_only_has_nothing_else() {
    on_host(|| {
        let networks = open();
        let namespace = networks.loopback_only().unwrap();
        crate::world::serve(&namespace, "127.0.0.1:80");
        assert_eq!(crate::world::ask(&namespace, "127.0.0.1:80"), Ok(ip("127.0.0.1")));
        assert!(crate::world::is_cut_off(&namespace, "172.17.0.1:80"));
    });
}

#[test]
fn many_connections_leave_nothing_behind() {
    on_host(|| {
        let networks = open_with(PoolLimits { least: 4, most: 16 });
        let empty = table();
        for round in 0..50 {
            let endpoints: Vec<_> = (0..10)
                .map(|number| {
                    let mut wanted = request(&format!("c{round}-{number}"));
                    wanted.ports = vec![tcp(None, 0, 80)];
                    networks.connect(&wanted).unwrap()
                })
                .collect();
            for endpoint in endpoints {
                networks.disconnect(&endpoint.record).unwrap();
            }
        }
        assert_eq!(table(), empty);
        networks.close();
        wait_for_links(&["lo"]);
        networks.remove_all().unwrap();
        let rules = stdx::process::output(stdx::process::command("nft").args(["list", "ruleset"]));
        assert_eq!(String::from_utf8(rules.unwrap().stdout).unwrap(), "");
    });
}

/// The pool's namespaces go when the kernel finds the time.
fn wait_for_links(expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while links() != expected {
        assert!(Instant::now() < deadline, "{:?} is not {expected:?}", links());
        std::thread::yield_now();
    }
}

#[test]
fn a_new_daemon_adopts_what_lives_and_removes_the_rest() {
    on_host(|| {
        let networks = open();
        let mut wanted = request("living");
        wanted.ports = vec![tcp(None, 8080, 80)];
        let living = web(&networks, &wanted);
        wanted = request("dead");
        wanted.ports = vec![tcp(None, 8081, 80)];
        let dead = networks.connect(&wanted).unwrap();
        let record = networks.default_network();
        // As if the daemon had been killed: its memory is gone, the kernel's is not.
        networks.close();
        drop(networks);

        let options = OpenOptions {
            instance: INSTANCE.to_owned(),
            default_network: Some(record.clone()),
            pool: PoolLimits { least: 1, most: 1 },
        };
        let networks = Networks::open(options).unwrap();
        networks.restore(std::slice::from_ref(&living.record)).unwrap();
        assert_eq!(networks.default_network(), record);
        assert_eq!(ask_here("127.0.0.1:8080"), Ok(ip("172.17.0.1")));
        assert!(table().contains("8080 :") && !table().contains("8081 :"), "{}", table());
        let next = networks.connect(&request("next")).unwrap();
        assert_ne!(next.record.ipv4, living.record.ipv4);
        networks.close();
        let kept = [living.record.link.as_str(), next.record.link.as_str()];
        wait_until_gone(&dead.record.link);
        assert!(kept.iter().all(|link| links().contains(&(*link).to_owned())));
        // Somebody flushed the table: everything is put back.
        stdx::process::output(stdx::process::command("nft").args(["flush", "ruleset"])).unwrap();
        drop(networks);
        let networks = open_again(&record);
        networks.restore(&[living.record.clone(), next.record.clone()]).unwrap();
        assert_eq!(ask_here("127.0.0.1:8080"), Ok(ip("172.17.0.1")));
        networks.disconnect(&living.record).unwrap();
        networks.disconnect(&living.record).unwrap();
    });
}

fn open_again(record: &network::NetworkRecord) -> Networks {
    let options = OpenOptions {
        instance: INSTANCE.to_owned(),
        default_network: Some(record.clone()),
        pool: PoolLimits { least: 1, most: 1 },
    };
    Networks::open(options).unwrap()
}

fn wait_until_gone(link: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while links().iter().any(|name| name == link) {
        assert!(Instant::now() < deadline, "{link} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn subnets_of_the_host_are_avoided() {
    on_host(|| {
        for command in [
            ["link", "add", "vpn", "type", "bridge"].as_slice(),
            &["link", "set", "vpn", "up", "mtu", "1400"],
            &["address", "add", "172.17.200.1/24", "dev", "vpn"],
            &["route", "add", "172.18.0.0/15", "dev", "vpn"],
            &["route", "add", "default", "dev", "vpn"],
        ] {
            stdx::process::output(stdx::process::command("ip").args(command)).unwrap();
        }
        let networks = open();
        let record = networks.default_network();
        assert_eq!(record.ipv4.to_string(), "172.20.0.1/16");
        assert_eq!(record.mtu, 1400);
    });
}

#[test]
fn only_the_outside_may_advertise_routes() {
    on_host(|| {
        for command in [
            ["link", "add", "wan", "type", "bridge"].as_slice(),
            &["link", "add", "inner", "type", "bridge"],
            &["link", "set", "wan", "up"],
            &["-6", "route", "add", "default", "dev", "wan"],
        ] {
            stdx::process::output(stdx::process::command("ip").args(command)).unwrap();
        }
        let setting = |link: &str, name: &str| {
            let path = format!("/proc/sys/net/ipv6/conf/{link}/{name}");
            std::fs::read_to_string(path).unwrap().trim().to_owned()
        };
        let networks = open();
        assert_eq!(setting("all", "forwarding"), "1");
        assert_eq!(setting("wan", "accept_ra"), "2");
        assert_eq!(setting("inner", "accept_ra"), "1");
        assert_eq!(setting("brig-a1b2c3", "accept_ra"), "0");
        let endpoint = networks.connect(&request("web")).unwrap();
        linux::namespace::in_network(&endpoint.namespace, || {
            assert_eq!(setting("eth0", "accept_ra"), "0");
        })
        .unwrap();
    });
}

#[test]
fn many_connect_at_once() {
    on_host(|| {
        let networks = open_with(PoolLimits { least: 4, most: 16 });
        let endpoints: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let networks = &networks;
                    scope.spawn(move || {
                        let connect = |number| {
                            let mut wanted = request(&format!("c{thread}-{number}"));
                            wanted.ports = vec![tcp(None, 0, 80)];
                            networks.connect(&wanted).unwrap()
                        };
                        (0..10).map(connect).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let addresses: std::collections::HashSet<_> =
            endpoints.iter().map(|endpoint| endpoint.record.ipv4).collect();
        assert_eq!(addresses.len(), 80);
        crate::world::serve(&endpoints[79].namespace, "0.0.0.0:80");
        let port = endpoints[79].record.ports[0].host_port;
        assert_eq!(ask_here(&format!("127.0.0.1:{port}")), Ok(ip("172.17.0.1")));
    });
}
