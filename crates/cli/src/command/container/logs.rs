//! `brig logs`

use clap::Parser;
use docker_api::Query;
use jiff::Timestamp;

use super::{inspected, path};
use crate::command::{Execute, Exit, timestamp};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::terminal::attached::Printer;

/// Fetch the logs of a container
#[derive(Debug, Parser)]
pub(crate) struct Logs {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(
        short = 'n',
        long,
        default_value = "all",
        value_name = "NUMBER",
        allow_hyphen_values = true
    )]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// The container
    container: String,
}

impl Execute for Logs {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let now = Timestamp::now();
        let time = |text: &Option<String>| match text {
            Some(text) => timestamp::parameter(text, now).map(Some).map_err(Error::Options),
            None => Ok(None),
        };
        let query = Query::new()
            .flag("stdout", true)
            .flag("stderr", true)
            .flag("follow", self.follow)
            .flag("timestamps", self.timestamps)
            .flag("details", self.details)
            .maybe("since", time(&self.since)?)
            .maybe("until", time(&self.until)?)
            .with("tail", &self.tail);
        let client = session.client().await?;
        let mut stream = client.stream(&format!("{}/logs", path(&self.container)), &query).await?;
        let framed = match stream.multiplexed() {
            Some(framed) => framed,
            None => !inspected(client, &self.container).await?.config.tty,
        };
        let mut printer = Printer::new(framed);
        while let Some(bytes) = stream.next().await? {
            printer.print(&bytes)?;
        }
        Ok(Exit::SUCCESS)
    }
}
