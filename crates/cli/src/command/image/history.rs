//! `brig history`

use clap::Parser;
use docker_api::Query;
use docker_api::image::HistoryItem;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stdx::units::format_bytes_decimal;

use crate::command::{Execute, Exit, timestamp};
use crate::error::Result;
use crate::output::format::{Listing, Wish};
use crate::output::template::{Map, Value};
use crate::output::{self, ellipsis, short_id};
use crate::session::Session;

/// Show the history of an image
#[derive(Debug, Parser)]
pub(crate) struct History {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(
        short = 'H', long, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// The image
    image: String,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

impl Execute for History {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let path = format!("/images/{}/history", Query::segment(&self.image));
        let items: Vec<HistoryItem> = client.get(&path, &Query::new()).await?;
        let columns = if self.human {
            "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
        } else {
            "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
        };
        let listing = Listing { columns, quiet: "{{.ID}}", headings: HEADINGS };
        let screen = if self.no_trunc { None } else { output::terminal_width() };
        let wish = Wish { format: self.format.as_deref(), quiet: self.quiet, screen };
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        let rows: Vec<Map> = items.iter().map(|item| self.row(item, now, &zone)).collect();
        output::write(&listing.render(&rows, &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

impl History {
    fn row(&self, item: &HistoryItem, now: Timestamp, zone: &TimeZone) -> Map {
        let by = item.created_by.replace('\t', " ");
        let id = if self.no_trunc || item.id == "<missing>" {
            item.id.clone()
        } else {
            short_id(&item.id)
        };
        let size = u64::try_from(item.size).unwrap_or_default();
        let since = match item.created {
            0 => "N/A".to_owned(),
            created => timestamp::ago(created, now),
        };
        let date = || {
            Timestamp::from_second(item.created)
                .map(|at| timestamp::rfc_3339(at, zone, false))
                .unwrap_or_default()
        };
        Map::row([
            ("ID", Value::from(id)),
            ("CreatedAt", Value::from(date())),
            ("CreatedSince", Value::from(since)),
            ("CreatedBy", Value::from(if self.no_trunc { by } else { ellipsis(&by, 45) })),
            (
                "Size",
                Value::from(if self.human { format_bytes_decimal(size) } else { size.to_string() }),
            ),
            ("Comment", Value::from(item.comment.as_str())),
        ])
    }
}
