//! `brig wait`

use clap::Parser;

use super::flow;
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::output;
use crate::session::Session;

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, Parser)]
pub(crate) struct Wait {
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Wait {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let mut failures = Vec::new();
        for container in &self.containers {
            let ended = async {
                let mut wait = flow::begin_wait(client, container, "not-running").await?;
                wait.next().await?.ok_or_else(|| {
                    Error::State("the engine left before the container ended".to_owned())
                })
            };
            match ended.await {
                // One that could not be started has a code too; without one, the wait failed.
                Ok(response) => match response.error.filter(|_| response.status_code < 0) {
                    Some(error) => failures.push(Error::State(error.message)),
                    None => output::line(response.status_code.to_string())?,
                },
                Err(error) => failures.push(error),
            }
        }
        Error::all(&failures)?;
        Ok(Exit::SUCCESS)
    }
}
