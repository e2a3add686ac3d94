//! `brig volume rm`

use clap::Parser;
use docker_api::Query;

use crate::command::{Execute, Exit, each};
use crate::error::Result;
use crate::session::Session;

/// Remove one or more volumes
#[derive(Debug, Parser)]
pub(crate) struct Remove {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Execute for Remove {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let query = &Query::new().flag("force", self.force);
        each::name(&self.volumes, |volume| async move {
            let path = format!("/volumes/{}", Query::segment(volume));
            Ok(client.delete::<()>(&path, query).await?)
        })
        .await
    }
}
