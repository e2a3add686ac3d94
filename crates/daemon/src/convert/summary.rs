//! Rows of `GET /containers/json`.

use docker_api::container::{MountPoint, Port, Summary, SummaryHostConfig, SummaryNetworkSettings};
use engine::Status;
use engine::container::{ContainerSummary, PortMapping, StateView};
use jiff::Timestamp;
use stdx::units::format_span;

use super::host_view::mount_kind;
use super::limits::signed;
use super::network;

/// One row; `now` makes its times relative.
pub(crate) fn summary(view: ContainerSummary, now: Timestamp) -> Summary {
    Summary {
        status: status(&view.state, now),
        names: vec![format!("/{}", view.name)],
        image: view.image,
        image_id: view.image_id,
        command: command_line(&view.command),
        created: view.created.as_second(),
        ports: view.ports.iter().map(port).collect(),
        size_rw: signed(view.size_rw),
        size_root_fs: signed(view.size_root),
        labels: view.labels,
        state: view.state.status.as_str().to_owned(),
        host_config: SummaryHostConfig {
            network_mode: match view.network_mode.as_str() {
                "" | "default" => "bridge".to_owned(),
                _ => view.network_mode,
            },
            annotations: view.annotations,
        },
        network_settings: SummaryNetworkSettings {
            networks: network::endpoints(&view.networks, None),
        },
        mounts: view.mounts.into_iter().map(mount_point).collect(),
        id: view.id,
    }
}

/// Docker's words for a state.
fn status(state: &StateView, now: Timestamp) -> String {
    let ago = |at: Option<Timestamp>| {
        let seconds = at.map_or(0, |at| now.as_second().saturating_sub(at.as_second()));
        format_span(u64::try_from(seconds).unwrap_or(0))
    };
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", ago(state.started_at)),
        Status::Paused => format!("Up {} (Paused)", ago(state.started_at)),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_at))
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_at)),
    }
}

/// Program and arguments as one line; arguments with blanks are quoted, as Docker does.
fn command_line(words: &[String]) -> String {
    let mut line = String::new();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            line.push(' ');
        }
        if place > 0 && word.contains(' ') {
            line.push('\'');
            line.push_str(word);
            line.push('\'');
        } else {
            line.push_str(word);
        }
    }
    line
}

fn port(mapping: &PortMapping) -> Port {
    let (ip, public_port) = match mapping.host {
        Some((address, number)) => (address.to_string(), number),
        None => (String::new(), 0),
    };
    Port {
        ip,
        private_port: mapping.port.number,
        public_port,
        kind: mapping.port.protocol.as_str().to_owned(),
    }
}

/// Something mounted, for rows and inspections.
pub(super) fn mount_point(point: engine::container::MountPoint) -> MountPoint {
    MountPoint {
        kind: mount_kind(point.kind).to_owned(),
        name: point.name,
        source: point.source,
        destination: point.target,
        driver: point.driver,
        mode: point.mode,
        rw: point.writable,
        propagation: point.propagation.map_or_else(String::new, |it| it.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use engine::Status;
    use engine::container::StateView;
    use jiff::Timestamp;

    use super::{command_line, status};

    #[test]
    fn states_in_words() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |seconds: i64| Some(Timestamp::from_second(1_000_000 - seconds).unwrap());
        let view = |status, started_at, finished_at| StateView {
            status,
            pid: 0,
            exit_code: 3,
            error: String::new(),
            oom_killed: false,
            started_at,
            finished_at,
        };
        for (state, words) in [
            (view(Status::Created, None, None), "Created"),
            (view(Status::Running, at(5), None), "Up 5 seconds"),
            (view(Status::Paused, at(61), None), "Up About a minute (Paused)"),
            (view(Status::Exited, at(9), at(0)), "Exited (3) Less than a second ago"),
            (view(Status::Restarting, at(9), at(7200)), "Restarting (3) 2 hours ago"),
        ] {
            assert_eq!(status(&state, now), words);
        }
    }

    #[test]
    fn commands_are_quoted_as_docker_does() {
        let words = ["sh", "-c", "sleep 1"].map(str::to_owned);
        assert_eq!(command_line(&words), "sh -c 'sleep 1'");
    }
}
