//! `brig kill`

use clap::Parser;
use docker_api::Query;

use super::act;
use crate::command::{Execute, Exit, each};
use crate::error::Result;
use crate::session::Session;

/// Kill one or more running containers
#[derive(Debug, Parser)]
pub(crate) struct Kill {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Kill {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let query = Query::new().maybe("signal", self.signal.as_deref());
        each::name(&self.containers, |container| act(client, container, "kill", &query)).await
    }
}
