//! `brig system shutdown`

use clap::Parser;
use docker_api::Query;
use docker_api::brig::{self, ShutdownRequest};

use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::output;
use crate::session::{Session, require_brig};

/// End the daemon; containers go on unless --all is given
#[derive(Debug, Parser)]
pub(crate) struct Shutdown {
    /// Stop the containers too
    #[arg(short, long)]
    all: bool,
}

impl Execute for Shutdown {
    async fn execute(self, session: &Session) -> Result<Exit> {
        // Containers may go on without a daemon: to stop them, one is needed.
        let client = if self.all {
            session.client().await?
        } else {
            match session.running_client().await? {
                Some(client) => client,
                None => {
                    output::warn("no daemon is running");
                    return Ok(Exit::SUCCESS);
                }
            }
        };
        require_brig(client, "brig system shutdown").await?;
        let request = ShutdownRequest { all: self.all };
        let () = client.post(brig::SHUTDOWN, &Query::new(), &request).await?;
        Ok(Exit::SUCCESS)
    }
}
