//! Ports of a container as `ps` shows them: neighbors in one range.

use docker_api::container::Port;

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 9000-9002/udp`.
pub(super) fn displayed(ports: &[Port]) -> String {
    let mut ports: Vec<&Port> = ports.iter().collect();
    ports.sort_by_key(|port| (port.private_port, &port.ip, port.public_port, &port.kind));
    let mut open: Vec<Group<'_>> = Vec::new();
    let mut texts = Vec::new();
    let mut mapped = Vec::new();
    for port in ports {
        if !port.ip.is_empty() && port.public_port != port.private_port {
            let address = joined(&port.ip, &port.public_port.to_string());
            mapped.push(format!("{address}->{}/{}", port.private_port, port.kind));
            continue;
        }
        let known = open.iter_mut().find(|group| group.ip == port.ip && group.kind == port.kind);
        match known {
            Some(group) if group.last.checked_add(1) == Some(port.private_port) => {
                group.last = port.private_port;
            }
            Some(group) => {
                texts.push(group.text());
                *group = Group::of(port);
            }
            None => open.push(Group::of(port)),
        }
    }
    texts.extend(open.iter().map(Group::text));
    texts.extend(mapped);
    texts.join(", ")
}

struct Group<'a> {
    ip: &'a str,
    kind: &'a str,
    first: u16,
    last: u16,
}

impl<'a> Group<'a> {
    fn of(port: &'a Port) -> Self {
        let number = port.private_port;
        Self { ip: &port.ip, kind: &port.kind, first: number, last: number }
    }

    fn text(&self) -> String {
        let range = if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        };
        if self.ip.is_empty() {
            format!("{range}/{}", self.kind)
        } else {
            format!("{}->{range}/{}", joined(self.ip, &range), self.kind)
        }
    }
}

fn joined(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use docker_api::container::Port;

    use super::displayed;

    fn port(ip: &str, private_port: u16, public_port: u16, kind: &str) -> Port {
        Port { ip: ip.to_owned(), private_port, public_port, kind: kind.to_owned() }
    }

    #[test]
    fn ports_are_shown_as_docker_s() {
        assert_eq!(displayed(&[]), "");
        assert_eq!(displayed(&[port("", 80, 0, "tcp")]), "80/tcp");
        assert_eq!(
            displayed(&[port("::", 80, 8080, "tcp"), port("0.0.0.0", 80, 8080, "tcp")]),
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            displayed(&[
                port("0.0.0.0", 81, 81, "tcp"),
                port("0.0.0.0", 80, 80, "tcp"),
                port("", 99, 0, "udp"),
                port("", 97, 0, "udp"),
                port("", 98, 0, "udp"),
                port("", 1, 0, "udp"),
            ]),
            "1/udp, 97-99/udp, 0.0.0.0:80-81->80-81/tcp"
        );
    }
}
