//! `brig network ls`

use clap::Parser;
use docker_api::Query;
use docker_api::network::Network;

use crate::command::{Execute, Exit, filter, timestamp};
use crate::error::Result;
use crate::output::format::{Listing, Wish, label_list, label_method};
use crate::output::template::{Map, Value};
use crate::output::{self, short_id};
use crate::session::Session;

/// List networks
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

const LISTING: Listing = Listing {
    columns: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    quiet: "{{.ID}}",
    headings: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
        ("CreatedAt", "CREATED AT"),
    ],
};

impl Execute for List {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let configured = Some(session.settings()?.networks_format.clone())
            .filter(|format| !format.is_empty() && !self.quiet);
        let format = self.format.clone().or(configured);
        let query = Query::new().filters(&filter::all(&self.filter));
        let mut networks: Vec<Network> = client.get("/networks", &query).await?;
        networks.sort_by(|left, right| left.name.cmp(&right.name));
        let rows: Vec<Map> = networks.iter().map(|network| self.row(network)).collect();
        let screen = if self.no_trunc { None } else { output::terminal_width() };
        let wish = Wish { format: format.as_deref(), quiet: self.quiet, screen };
        output::write(&LISTING.render(&rows, &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

impl List {
    fn row(&self, network: &Network) -> Map {
        let id = if self.no_trunc { network.id.clone() } else { short_id(&network.id) };
        let labels = network.labels.clone().into_iter().collect();
        Map::row([
            ("ID", Value::from(id)),
            ("Name", Value::from(network.name.as_str())),
            ("Driver", Value::from(network.driver.as_str())),
            ("Scope", Value::from(network.scope.as_str())),
            ("IPv4", Value::from(network.enable_ipv4.to_string())),
            ("IPv6", Value::from(network.enable_ipv6.to_string())),
            ("Internal", Value::from(network.internal.to_string())),
            ("Labels", Value::from(label_list(&network.labels))),
            ("CreatedAt", Value::from(timestamp::go_instant(network.created))),
            ("Label", label_method(labels)),
        ])
    }
}
