//! `brig system reset`

use clap::Parser;
use docker_api::Query;
use docker_api::brig::{self, ResetResponse};

use crate::command::{Execute, Exit, prune};
use crate::error::{Error, Result};
use crate::output;
use crate::session::{Session, require_brig};

/// Remove all containers, images, networks and volumes
#[derive(Debug, Parser)]
pub(crate) struct Reset {
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Execute for Reset {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let warning = "This will remove all containers, images, networks and volumes.";
        if !self.force && !prune::confirmed(warning)? {
            return Ok(Exit::SUCCESS);
        }
        let client = session.client().await?;
        require_brig(client, "brig system reset").await?;
        let removed: ResetResponse = client.post(brig::RESET, &Query::new(), &()).await?;
        output::line(format!(
            "Removed {} containers, {} images, {} volumes",
            removed.containers, removed.images, removed.volumes
        ))?;
        let failures: Vec<Error> = removed.failures.into_iter().map(Error::State).collect();
        Error::all(&failures)?;
        Ok(Exit::SUCCESS)
    }
}
