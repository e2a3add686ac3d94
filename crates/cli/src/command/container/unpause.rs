//! `brig unpause`

use clap::Parser;
use docker_api::Query;

use super::act;
use crate::command::{Execute, Exit, each};
use crate::error::Result;
use crate::session::Session;

/// Unpause all processes within one or more containers
#[derive(Debug, Parser)]
pub(crate) struct Unpause {
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Unpause {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let query = Query::new();
        each::name(&self.containers, |container| act(client, container, "unpause", &query)).await
    }
}
