//! `brig image prune`

use clap::Parser;
use docker_api::Query;
use docker_api::image::PruneResponse;

use crate::command::{Execute, Exit, filter, prune};
use crate::error::Result;
use crate::session::Session;

/// Remove unused images
#[derive(Debug, Parser)]
pub(crate) struct Prune {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Execute for Prune {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let warning = if self.all {
            "This will remove all images without at least one container associated to them."
        } else {
            "This will remove all dangling images."
        };
        if !self.force && !prune::confirmed(warning)? {
            return Ok(Exit::SUCCESS);
        }
        let client = session.client().await?;
        let mut filters = filter::all(&self.filter);
        filters.add("dangling", if self.all { "false" } else { "true" });
        let removed: PruneResponse =
            client.post("/images/prune", &Query::new().filters(&filters), &()).await?;
        let lines: Vec<String> = removed
            .images_deleted
            .iter()
            .map(|item| {
                if item.deleted.is_empty() {
                    format!("untagged: {}", item.untagged)
                } else {
                    format!("deleted: {}", item.deleted)
                }
            })
            .collect();
        prune::report("Deleted Images", &lines, removed.space_reclaimed)?;
        Ok(Exit::SUCCESS)
    }
}
