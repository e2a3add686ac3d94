//! `brig volume prune`

use clap::Parser;
use docker_api::Query;
use docker_api::volume::PruneResponse;

use crate::command::{Execute, Exit, filter, prune};
use crate::error::Result;
use crate::session::Session;

/// Remove unused local volumes
#[derive(Debug, Parser)]
pub(crate) struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Execute for Prune {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let warning = if self.all {
            "This will remove all local volumes not used by at least one container."
        } else {
            "This will remove anonymous local volumes not used by at least one container."
        };
        if !self.force && !prune::confirmed(warning)? {
            return Ok(Exit::SUCCESS);
        }
        let client = session.client().await?;
        let mut filters = filter::all(&self.filter);
        if self.all {
            filters.add("all", "1");
        }
        let removed: PruneResponse =
            client.post("/volumes/prune", &Query::new().filters(&filters), &()).await?;
        prune::report("Deleted Volumes", &removed.volumes_deleted, removed.space_reclaimed)?;
        Ok(Exit::SUCCESS)
    }
}
