//! `brig volume create`

use clap::Parser;
use docker_api::Query;
use docker_api::volume::{CreateRequest, Volume};

use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::options::label_map;
use crate::output;
use crate::session::Session;

/// Create a volume
#[derive(Debug, Parser)]
pub(crate) struct Create {
    /// Specify volume driver name
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "NAME=VALUE")]
    opt: Vec<String>,
    #[arg(long, hide = true)]
    name: Option<String>,
    /// Its name; one is made up when absent
    volume: Option<String>,
}

impl Execute for Create {
    async fn execute(self, session: &Session) -> Result<Exit> {
        if self.name.is_some() && self.volume.is_some() {
            return Err(Error::State(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg".to_owned(),
            ));
        }
        let request = CreateRequest {
            name: self.volume.or(self.name).unwrap_or_default(),
            driver: self.driver,
            driver_opts: label_map(&self.opt).map_err(Error::Options)?,
            labels: label_map(&self.label).map_err(Error::Options)?,
        };
        let client = session.client().await?;
        let volume: Volume = client.post("/volumes/create", &Query::new(), &request).await?;
        output::line(volume.name)?;
        Ok(Exit::SUCCESS)
    }
}
