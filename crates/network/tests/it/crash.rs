//! A daemon killed at any moment leaves nothing that its successor does not find.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use network::{Networks, OpenOptions, PoolLimits};

use crate::world::{INSTANCE, links, on_host, open, request, table, tcp};

/// The environment of a child that plays the daemon.
const PLAYED: &str = "BRIG_NETWORK_TEST_DAEMON";

#[test]
fn a_killed_daemon_leaks_nothing() {
    on_host(|| {
        let mut daemon = stdx::process::command(std::env::current_exe().unwrap());
        daemon
            .args(["--exact", "crash::daemon", "--nocapture"])
            .env(PLAYED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut daemon = daemon.spawn().unwrap();
        let lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("connected")));
        assert!(table().contains("8080 :"), "{}", table());
        assert!(links().len() > 3, "{:?}", links());
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let options = OpenOptions {
            instance: INSTANCE.to_owned(),
            default_network: None,
            pool: PoolLimits { least: 0, most: 0 },
        };
        let networks = Networks::open(options).unwrap();
        networks.restore(&[]).unwrap();
        // Its addresses may be given out now: no link has them any more, although the kernel takes
        // its time to let go of namespaces that were in the memory of a process alone.
        assert_eq!(links(), ["lo", "brig-a1b2c3"]);
        assert!(!table().contains("8080 :"), "{}", table());
        assert_eq!(networks.default_network().ipv4.to_string(), "172.17.0.1/16");
    });
}

/// Not a test of its own: the other one runs it in a process that it kills.
#[test]
fn daemon() {
    if std::env::var_os(PLAYED).is_none() {
        return;
    }
    let networks = open();
    let mut wanted = request("web");
    wanted.ports = vec![tcp(None, 8080, 80)];
    let _endpoint = networks.connect(&wanted).unwrap();
    println!("connected");
    let mut end = String::new();
    std::io::stdin().read_to_string(&mut end).unwrap();
}
