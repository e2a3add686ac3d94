//! `brig container prune`

use clap::Parser;
use docker_api::Query;
use docker_api::container::PruneResponse;

use crate::command::{Execute, Exit, filter, prune};
use crate::error::Result;
use crate::session::Session;

/// Remove all stopped containers
#[derive(Debug, Parser)]
pub(crate) struct Prune {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Execute for Prune {
    async fn execute(self, session: &Session) -> Result<Exit> {
        if !self.force && !prune::confirmed("This will remove all stopped containers.")? {
            return Ok(Exit::SUCCESS);
        }
        let client = session.client().await?;
        let query = Query::new().filters(&filter::all(&self.filter));
        let removed: PruneResponse = client.post("/containers/prune", &query, &()).await?;
        prune::report("Deleted Containers", &removed.containers_deleted, removed.space_reclaimed)?;
        Ok(Exit::SUCCESS)
    }
}
