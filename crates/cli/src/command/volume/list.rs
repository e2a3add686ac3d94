//! `brig volume ls`

use clap::Parser;
use docker_api::Query;
use docker_api::volume::{ListResponse, Volume};

use crate::command::{Execute, Exit, filter};
use crate::error::Result;
use crate::output;
use crate::output::format::{Listing, Wish, label_list, label_method};
use crate::output::template::{Map, Value};
use crate::session::Session;

/// List volumes
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const LISTING: Listing = Listing {
    columns: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
        ("Availability", "AVAILABILITY"),
        ("Group", "GROUP"),
        ("Status", "STATUS"),
    ],
};

impl Execute for List {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let configured = Some(session.settings()?.volumes_format.clone())
            .filter(|format| !format.is_empty() && !self.quiet);
        let format = self.format.clone().or(configured);
        let query = Query::new().filters(&filter::all(&self.filter));
        let list: ListResponse = client.get("/volumes", &query).await?;
        for warning in &list.warnings {
            output::warn(format!("WARNING: {warning}"));
        }
        let mut volumes = list.volumes;
        volumes.sort_by(|left, right| left.name.cmp(&right.name));
        let rows: Vec<Map> = volumes.iter().map(row).collect();
        let screen = output::terminal_width();
        let wish = Wish { format: format.as_deref(), quiet: self.quiet, screen };
        output::write(&LISTING.render(&rows, &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

fn row(volume: &Volume) -> Map {
    let unknown = || Value::from("N/A");
    let usage = volume.usage_data.as_ref();
    let links = usage.map_or_else(unknown, |usage| Value::from(usage.ref_count.to_string()));
    let size = usage.and_then(|usage| u64::try_from(usage.size).ok());
    let labels = volume.labels.clone().into_iter().collect();
    Map::row([
        ("Name", Value::from(volume.name.as_str())),
        ("Driver", Value::from(volume.driver.as_str())),
        ("Scope", Value::from(volume.scope.as_str())),
        ("Mountpoint", Value::from(volume.mountpoint.as_str())),
        ("Labels", Value::from(label_list(&volume.labels))),
        ("Links", links),
        (
            "Size",
            size.map_or_else(unknown, |size| Value::from(stdx::units::format_bytes_decimal(size))),
        ),
        ("Availability", unknown()),
        ("Group", unknown()),
        ("Status", unknown()),
        ("Label", label_method(labels)),
    ])
}
