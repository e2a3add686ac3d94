//! `brig stop`

use clap::Parser;
use docker_api::Query;

use super::act;
use crate::command::{Execute, Exit, each};
use crate::error::Result;
use crate::session::Session;

/// Stop one or more running containers
#[derive(Debug, Parser)]
pub(crate) struct Stop {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container (-1 waits for ever)
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Stop {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let query = Query::new()
            .maybe("signal", self.signal.as_deref())
            .maybe("t", self.timeout.map(|seconds| seconds.to_string()));
        each::name(&self.containers, |container| act(client, container, "stop", &query)).await
    }
}
