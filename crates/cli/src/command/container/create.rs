//! `brig container create`

use clap::Parser;

use super::flow;
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::options::{ContainerOptions, Mode};
use crate::output;
use crate::session::Session;

/// Create a new container
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
pub(crate) struct Create {
    #[command(flatten)]
    options: ContainerOptions,
    /// The image, and a command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

impl Execute for Create {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let request = flow::request(session, &self.options, &self.words, Mode::Attached)
            .map_err(flow::failed("brig create"))?;
        let create = async {
            let client = session.client().await?;
            flow::create(session, client, &self.options, &request).await
        };
        let id = create.await.map_err(flow::failed("brig create"))?;
        output::line(id)?;
        Ok(Exit::SUCCESS)
    }
}
