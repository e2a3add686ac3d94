//! `/networks`: what exists.

use std::collections::BTreeMap;
use std::sync::Arc;

use docker_api::Filters;
use docker_api::network::{EndpointResource, Ipam, IpamConfig, Network, PruneResponse};
use engine::NetworkView;
use engine::container::ListFilter;
use hyper::StatusCode;

use super::Answer;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn list(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    filters.check(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
    let mut networks = server.engine.networks().list();
    networks.retain(|network| passes(network, &filters));
    let networks: Vec<_> = networks.into_iter().map(convert).collect();
    Ok(http::json(&networks))
}

/// Values of one filter are alternatives, different filters must all hold.
fn passes(network: &NetworkView, filters: &Filters) -> bool {
    filters.iter().all(|(name, values)| {
        values.iter().any(|value| match name {
            "driver" => network.driver == value,
            "id" => network.id.contains(value.as_str()),
            "name" => network.name.contains(value.as_str()),
            "scope" => value == "local",
            "type" => value == "builtin",
            "dangling" => matches!(value.as_str(), "false" | "0"),
            // None of these has a label.
            _ => false,
        })
    })
}

pub(super) async fn inspect(server: Arc<Server>, name: String) -> Answer {
    let view = server.engine.networks().inspect(&name)?;
    let filter = ListFilter { networks: vec![view.name.clone()], ..ListFilter::default() };
    let containers = server.engine.containers().list(&filter).await?;
    let mut network = convert(view);
    for container in containers {
        for attachment in container.networks.iter().filter(|one| one.network == network.name) {
            let address = |it: Option<String>| it.unwrap_or_default();
            let resource = EndpointResource {
                name: container.name.clone(),
                endpoint_id: attachment.endpoint_id.clone(),
                mac_address: attachment.mac_address.clone(),
                ipv4_address: address(attachment.ipv4.map(|(ip, length)| format!("{ip}/{length}"))),
                ipv6_address: address(attachment.ipv6.map(|(ip, length)| format!("{ip}/{length}"))),
            };
            network.containers.insert(container.id.clone(), resource);
        }
    }
    Ok(http::json(&network))
}

/// Only networks that users made are pruned, and there are none.
pub(super) async fn prune(call: Call) -> Answer {
    Filters::parse(call.query.get("filters"))?.check(&["label", "label!", "until"])?;
    Ok(http::json(&PruneResponse::default()))
}

/// What exists cannot be removed.
pub(super) async fn remove(server: Arc<Server>, name: String) -> Answer {
    let network = server.engine.networks().inspect(&name)?;
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        format!("{} is a pre-defined network and cannot be removed", network.name),
    ))
}

fn convert(view: NetworkView) -> Network {
    let pools = [&view.ipv4, &view.ipv6].into_iter().flatten();
    let pools = pools.map(|(subnet, gateway)| IpamConfig {
        subnet: subnet.clone(),
        gateway: gateway.clone(),
        ..IpamConfig::default()
    });
    let mut options = BTreeMap::new();
    if view.driver == "bridge" {
        let option =
            |name: &str, value: &str| (format!("com.docker.network.{name}"), value.to_owned());
        options.extend([
            option("bridge.default_bridge", "true"),
            option("bridge.name", &view.link),
            option("driver.mtu", &view.mtu.to_string()),
        ]);
    }
    Network {
        ipam: Ipam {
            driver: "default".to_owned(),
            options: BTreeMap::new(),
            config: pools.collect(),
        },
        enable_ipv4: true,
        enable_ipv6: view.ipv6.is_some(),
        name: view.name,
        id: view.id,
        scope: "local".to_owned(),
        driver: view.driver.to_owned(),
        options,
        ..Network::default()
    }
}
