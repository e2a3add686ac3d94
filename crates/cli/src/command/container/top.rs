//! `brig top`

use clap::Parser;
use docker_api::Query;
use docker_api::container::Top as Processes;

use super::path;
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::output::{self, table};
use crate::session::Session;

/// Display the running processes of a container
#[derive(Debug, Parser)]
pub(crate) struct Top {
    /// The container, and options as ps(1) takes them
    #[arg(required = true, trailing_var_arg = true, value_names = ["CONTAINER", "PS OPTIONS"])]
    words: Vec<String>,
}

impl Execute for Top {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let (container, options) = self.words.split_first().unwrap_or((&self.words[0], &[]));
        let options = (!options.is_empty()).then(|| options.join(" "));
        let query = Query::new().maybe("ps_args", options);
        let processes: Processes = client.get(&format!("{}/top", path(container)), &query).await?;
        let mut text = processes.titles.join("\t") + "\n";
        for process in &processes.processes {
            text.push_str(&process.join("\t"));
            text.push('\n');
        }
        output::write(&table::align_with(&text, 20, 3))?;
        Ok(Exit::SUCCESS)
    }
}
