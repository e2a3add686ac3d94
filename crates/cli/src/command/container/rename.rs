//! `brig rename`

use clap::Parser;
use docker_api::Query;

use super::act;
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::session::Session;

/// Rename a container
#[derive(Debug, Parser)]
pub(crate) struct Rename {
    /// The container
    container: String,
    /// Its new name
    new_name: String,
}

impl Execute for Rename {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let name = self.new_name.trim();
        if name.is_empty() || self.container.trim().is_empty() {
            return Err(Error::State("Error: Neither old nor new names may be empty".to_owned()));
        }
        let client = session.client().await?;
        act(client, self.container.trim(), "rename", &Query::new().with("name", name)).await?;
        Ok(Exit::SUCCESS)
    }
}
