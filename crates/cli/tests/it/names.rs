//! Names inside of containers on the default bridge: other containers', and everybody else's by the
//! servers that were asked for.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use testkit::Brig;

use crate::BRIG;

/// A server that knows every name below `lab.test` as 192.0.2.7, and no other, at a loopback
/// address of its own.
struct Server {
    address: &'static str,
}

impl Server {
    fn start(address: &'static str) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, source)) = socket.recv_from(&mut question) {
                drop(socket.send_to(&answer(&question[..length]), source));
            }
        });
        Self { address }
    }
}

/// RFC 1035, sections 4.1.1 to 4.1.4: the question as it came, and one record of its name.
fn answer(question: &[u8]) -> Vec<u8> {
    let name_end = question.iter().skip(12).position(|byte| *byte == 0).unwrap() + 12;
    let asked = &question[12..name_end + 5];
    let is_known = asked.windows(9).any(|part| part == b"\x03lab\x04test");
    let is_address = asked[asked.len() - 4..] == [0, 1, 0, 1];
    let (code, count) = if is_known { (0, u8::from(is_address)) } else { (3, 0) };
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(asked);
    if count == 1 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    }
    answer
}

#[test]
fn servers_given_by_hand_are_asked_for_what_no_container_is_called() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let server = Server::start("127.77.1.1");
    let web = brig.ok(&["run", "-d", "--name", "web", "hello", "serve"]);
    let address = brig.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &web]);
    let given = ["run", "--rm", "--dns", server.address, "--dns-search", "lab.test"];
    // By the C library, which goes through the search domains as all programs do.
    let ping = |name: &str| {
        text(&brig.output(&[&given[..], &["busybox", "ping", "-4", "-c1", "-W1", name]].concat()))
    };
    for (name, expected) in [
        ("web", format!("PING web ({address})")),
        ("printer.lab.test", "PING printer.lab.test (192.0.2.7)".to_owned()),
        ("printer", "PING printer (192.0.2.7)".to_owned()),
        ("elsewhere.test.", "bad address 'elsewhere.test.'".to_owned()),
    ] {
        let said = ping(name);
        assert!(said.contains(&expected), "{said}");
    }
    drop(brig.ok(&["rm", "-f", &web]));
}

/// Nobody listens there.
#[test]
fn a_server_that_is_not_there_is_not_waited_for() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let begun = Instant::now();
    let look_up = ["run", "--rm", "--dns", "127.77.1.9", "busybox", "nslookup", "printer.lab.test"];
    let found = brig.output(&look_up);
    assert!(!found.status.success() && text(&found).contains("SERVFAIL"), "{}", text(&found));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}
