//! Listing containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Containers;
use super::entry::{Container, State};
use crate::container::{
    ContainerSummary, ListFilter, NetworkAttachment, NetworkMode, Port, PortMapping, Protocol,
};
use crate::error::Result;
use crate::networks::network_id;

impl Containers {
    /// Those that the filter lets through, newest first.
    ///
    /// # Errors
    /// `Invalid` when the filter names a container that does not exist.
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<ContainerSummary>> {
        let bound = |name: &Option<String>| match name {
            Some(name) => self
                .shared
                .table
                .find(name)
                .map(|found| Some(found.read(|state| state.record.number))),
            None => Ok(None),
        };
        let (before, since) = (bound(&filter.before)?, bound(&filter.since)?);
        let ancestors = self.ancestors(&filter.ancestors).await;
        let instance = self.shared.rooms.store.instance().to_string();
        let mut found: Vec<(Arc<Container>, ContainerSummary)> = Vec::new();
        for container in self.shared.table.newest_first() {
            let (number, summary) =
                container.read(|state| (state.record.number, summary(&instance, state)));
            let in_time = before.is_none_or(|before| number < before)
                && since.is_none_or(|since| number > since);
            if in_time && filter.allows(&summary, &ancestors) {
                found.push((container, summary));
            }
        }
        found.truncate(filter.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX));
        if filter.size {
            for (container, summary) in &mut found {
                (summary.size_rw, summary.size_root) = self.sizes(container).await?;
            }
        }
        Ok(found.into_iter().map(|(_, summary)| summary).collect())
    }

    /// The ids of images that a filter names; what is no image stays as it is.
    async fn ancestors(&self, names: &[String]) -> Vec<String> {
        let mut ids = Vec::new();
        for name in names {
            match self.shared.rooms.images.inspect(name).await {
                Ok(image) => ids.push(image.id.to_string()),
                Err(_unknown) => ids.push(name.clone()),
            }
        }
        ids
    }
}

fn summary(instance: &str, state: &State) -> ContainerSummary {
    let record = &state.record;
    let spec = &record.spec;
    ContainerSummary {
        id: record.id.clone(),
        name: record.name.clone(),
        image: spec.image.clone(),
        image_id: record.image_id.to_string(),
        command: spec.entrypoint.iter().chain(&spec.command).flatten().cloned().collect(),
        created: record.created,
        state: state.view(),
        ports: ports(state),
        labels: spec.labels.clone(),
        annotations: spec.annotations.clone(),
        network_mode: spec.host.network.mode.to_string(),
        networks: networks(instance, state),
        mounts: record.mounts.iter().map(|mount| mount.point.clone()).collect(),
        size_rw: None,
        size_root: None,
    }
}

/// Ports: published ones while it runs, and those exposed that are not.
pub(super) fn ports(state: &State) -> Vec<PortMapping> {
    let endpoint = state.live.as_ref().and_then(|live| live.endpoint.as_ref());
    let mut ports: Vec<PortMapping> = Vec::new();
    for binding in endpoint.iter().flat_map(|endpoint| &endpoint.ports) {
        let protocol = match binding.protocol {
            network::Protocol::Tcp => Protocol::Tcp,
            network::Protocol::Udp => Protocol::Udp,
            network::Protocol::Sctp => Protocol::Sctp,
        };
        let port = Port { number: binding.container_port, protocol };
        ports.push(PortMapping { port, host: Some((binding.host_address, binding.host_port)) });
    }
    if state.status.is_alive() {
        for port in &state.record.spec.exposed_ports {
            if !ports.iter().any(|mapping| mapping.port == *port) {
                ports.push(PortMapping { port: *port, host: None });
            }
        }
    }
    ports.sort_by_key(|mapping| (mapping.port, mapping.host));
    ports
}

/// Its networks, with addresses while it runs.
pub(super) fn networks(instance: &str, state: &State) -> Vec<NetworkAttachment> {
    let options = &state.record.spec.host.network;
    let network = match &options.mode {
        NetworkMode::Default | NetworkMode::Bridge => "bridge".to_owned(),
        NetworkMode::Container(_) => return Vec::new(),
        mode => mode.to_string(),
    };
    let empty = NetworkAttachment {
        network_id: network_id(instance, &network),
        network,
        endpoint_id: String::new(),
        ipv4: None,
        ipv6: None,
        gateway: None,
        gateway6: None,
        mac_address: String::new(),
        aliases: options.aliases.clone(),
        dns_names: Vec::new(),
    };
    let Some(endpoint) = state.live.as_ref().and_then(|live| live.endpoint.as_ref()) else {
        return vec![empty];
    };
    vec![NetworkAttachment {
        network: endpoint.network.clone(),
        network_id: network_id(instance, &endpoint.network),
        endpoint_id: state.record.id.clone(),
        ipv4: Some((endpoint.ipv4.addr(), endpoint.ipv4.prefix_len())),
        ipv6: endpoint.ipv6.map(|net| (net.addr(), net.prefix_len())),
        gateway: Some(endpoint.gateway.ipv4),
        gateway6: endpoint.gateway.ipv6,
        mac_address: endpoint.mac.to_string(),
        dns_names: endpoint.names.clone(),
        ..empty
    }]
}

impl ListFilter {
    /// Whether a container is shown. `ancestors` are the filter's, as image ids where they are known.
    fn allows(&self, summary: &ContainerSummary, ancestors: &[String]) -> bool {
        let shows_all = self.all
            || self.limit.is_some()
            || !self.statuses.is_empty()
            || !self.exited.is_empty();
        let status = summary.state.status;
        let ended = matches!(status, crate::Status::Exited | crate::Status::Dead);
        (shows_all || status.is_alive() || status == crate::Status::Restarting)
            && any(&self.statuses, |wanted| *wanted == status)
            && any(&self.exited, |code| {
                ended && summary.state.started_at.is_some() && *code == summary.state.exit_code
            })
            && any(&self.names, |pattern| name_matches(pattern, &summary.name))
            && any(&self.ids, |prefix| summary.id.starts_with(prefix.as_str()))
            && self.labels.iter().all(|label| has_label(&summary.labels, label))
            && any(ancestors, |id| *id == summary.image_id || *id == summary.image)
            && any(&self.networks, |name| {
                summary
                    .networks
                    .iter()
                    .any(|n| n.network == *name || n.network_id.starts_with(name.as_str()))
            })
            && any(&self.volumes, |volume| {
                let same = |path: &str| path.trim_end_matches('/') == volume.trim_end_matches('/');
                summary
                    .mounts
                    .iter()
                    .any(|m| m.name == *volume || same(&m.target) || same(&m.source))
            })
            && any(&self.published, |port| {
                summary.ports.iter().any(|mapping| mapping.port == *port && mapping.host.is_some())
            })
            && any(&self.exposed, |port| summary.ports.iter().any(|mapping| mapping.port == *port))
    }
}

/// No condition, or one of them holds.
fn any<T>(conditions: &[T], holds: impl Fn(&T) -> bool) -> bool {
    conditions.is_empty() || conditions.iter().any(holds)
}

/// `key`, `key=value` or `key!=value`.
fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => match key.strip_suffix('!') {
            Some(key) => labels.get(key).is_none_or(|other| other != value),
            None => labels.get(key).is_some_and(|other| other == value),
        },
        None => labels.contains_key(wanted),
    }
}

/// A part of the name; `^` and `$` anchor it, a slash before the name is part of it.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, at_start) =
        pattern.strip_prefix('^').map_or((pattern, false), |rest| (rest, true));
    let (pattern, at_end) = pattern.strip_suffix('$').map_or((pattern, false), |rest| (rest, true));
    let (pattern, at_start) =
        pattern.strip_prefix('/').map_or((pattern, at_start), |rest| (rest, true));
    match (at_start, at_end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{has_label, name_matches};
    use crate::container::{ContainerSummary, ListFilter, Port, PortMapping, StateView, Status};

    fn summary(status: Status, exit_code: i32) -> ContainerSummary {
        let port = Port::parse("80").unwrap();
        ContainerSummary {
            id: "abcdef".into(),
            name: "web-1".into(),
            image: "hello".into(),
            image_id: "sha256:1".into(),
            command: Vec::new(),
            created: Timestamp::UNIX_EPOCH,
            state: StateView {
                status,
                pid: 0,
                exit_code,
                error: String::new(),
                oom_killed: false,
                started_at: Some(Timestamp::UNIX_EPOCH),
                finished_at: None,
            },
            ports: vec![PortMapping { port, host: Some(([0, 0, 0, 0].into(), 8080)) }],
            labels: [("a".to_owned(), "1".to_owned())].into(),
            annotations: [].into(),
            network_mode: "default".into(),
            networks: Vec::new(),
            mounts: Vec::new(),
            size_rw: None,
            size_root: None,
        }
    }

    #[test]
    fn filters() {
        let running = summary(Status::Running, 0);
        let exited = summary(Status::Exited, 3);
        let none = ListFilter::default();
        assert!(none.allows(&running, &[]) && !none.allows(&exited, &[]));
        let code = ListFilter { exited: vec![3], ..ListFilter::default() };
        assert!(code.allows(&exited, &[]) && !code.allows(&running, &[]));
        let status = ListFilter { statuses: vec![Status::Exited], ..ListFilter::default() };
        assert!(status.allows(&exited, &[]) && !status.allows(&running, &[]));
        let ids = ListFilter { ids: vec!["abc".into()], ..ListFilter::default() };
        assert!(ids.allows(&running, &[]));
        let port = ListFilter { published: vec![Port::parse("81").unwrap()], ..none.clone() };
        assert!(!port.allows(&running, &[]));
        assert!(none.allows(&running, &["sha256:1".into()]));
        assert!(!none.allows(&running, &["sha256:2".into()]));
    }

    #[test]
    fn labels_and_names() {
        let labels = [("a".to_owned(), "1".to_owned())].into();
        for (wanted, expected) in [
            ("a", true),
            ("a=1", true),
            ("a=2", false),
            ("b", false),
            ("a!=2", true),
            ("a!=1", false),
        ] {
            assert_eq!(has_label(&labels, wanted), expected, "{wanted}");
        }
        for (pattern, expected) in [
            ("eb", true),
            ("^eb", false),
            ("^/web", true),
            ("1$", true),
            ("^web-1$", true),
            ("x", false),
        ] {
            assert_eq!(name_matches(pattern, "web-1"), expected, "{pattern}");
        }
    }
}
