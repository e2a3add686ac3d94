//! `brig volume inspect`

use clap::Parser;

use crate::command::inspect::{self, Kind};
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::session::Session;

/// Display detailed information on one or more volumes
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// The volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Execute for Inspect {
    async fn execute(self, session: &Session) -> Result<Exit> {
        inspect::print(session, &self.volumes, &[Kind::Volume], self.format.as_deref()).await
    }
}
