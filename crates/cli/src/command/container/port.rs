//! `brig port`

use clap::Parser;
use docker_api::container::PortBinding;

use super::inspected;
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::output;
use crate::session::Session;

/// List port mappings or a specific mapping for the container
#[derive(Debug, Parser)]
pub(crate) struct Port {
    /// The container
    container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    port: Option<String>,
}

impl Execute for Port {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let inspect = inspected(client, &self.container).await?;
        let ports = inspect.network_settings.ports;
        let Some(port) = &self.port else {
            for (container, bindings) in sorted(ports.iter()) {
                for binding in bindings.iter().flatten() {
                    output::line(format!("{container} -> {}", address(binding)))?;
                }
            }
            return Ok(Exit::SUCCESS);
        };
        let full = if port.contains('/') { port.clone() } else { format!("{port}/tcp") };
        let bindings = ports.get(&full).and_then(Option::as_ref).filter(|list| !list.is_empty());
        let Some(bindings) = bindings else {
            return Err(Error::State(format!(
                "Error: No public port '{port}' published for {}",
                self.container
            )));
        };
        for binding in bindings {
            output::line(address(binding))?;
        }
        Ok(Exit::SUCCESS)
    }
}

/// Ports by number, then protocol.
fn sorted<'a, T>(ports: impl Iterator<Item = (&'a String, T)>) -> Vec<(&'a String, T)> {
    let mut ports: Vec<_> = ports.collect();
    ports.sort_by_key(|(port, _)| {
        let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
        (number.parse::<u16>().unwrap_or_default(), protocol.to_owned())
    });
    ports
}

fn address(binding: &PortBinding) -> String {
    if binding.host_ip.contains(':') {
        format!("[{}]:{}", binding.host_ip, binding.host_port)
    } else {
        format!("{}:{}", binding.host_ip, binding.host_port)
    }
}
