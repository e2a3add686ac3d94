//! Times, printed: `cargo test -p network --release -- --ignored --nocapture measure`.

use std::time::{Duration, Instant};

use network::{Networks, PoolLimits};

use crate::world::{on_host, open_with, request, tcp};

const ROUNDS: usize = 200;

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: median {:?}, 10 % {:?}, 90 % {:?}", at(50), at(10), at(90));
}

fn time<T>(times: &mut Vec<Duration>, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let value = work();
    times.push(started.elapsed());
    value
}

fn rounds(networks: &Networks, ports: usize, warm: bool) -> (Vec<Duration>, Vec<Duration>) {
    let (mut connects, mut disconnects) = (Vec::new(), Vec::new());
    let mut endpoints = Vec::new();
    for round in 0..ROUNDS {
        let mut wanted = request(&format!("c{round}"));
        wanted.ports = vec![tcp(Some("127.0.0.1"), 0, 80); ports];
        if warm {
            networks.wait_until_warm();
        }
        endpoints.push(time(&mut connects, || networks.connect(&wanted).unwrap()));
    }
    for endpoint in endpoints {
        time(&mut disconnects, || networks.disconnect(&endpoint.record).unwrap());
    }
    (connects, disconnects)
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    on_host(|| {
        let networks = open_with(PoolLimits { least: 8, most: 8 });
        let (connects, disconnects) = rounds(&networks, 0, true);
        report("connect, warm", connects);
        report("disconnect", disconnects);
        let (connects, disconnects) = rounds(&networks, 1, true);
        report("connect, warm, one port", connects);
        report("disconnect, one port", disconnects);
        let (connects, _) = rounds(&networks, 10, true);
        report("connect, warm, ten ports", connects);
        networks.close();
    });
    on_host(|| {
        let networks = open_with(PoolLimits { least: 0, most: 0 });
        let (connects, _) = rounds(&networks, 0, false);
        report("connect, cold", connects);
    });
    on_host(|| {
        let mut times = Vec::new();
        let networks = time(&mut times, || open_with(PoolLimits::default()));
        report("open", times);
        networks.close();
    });
}
