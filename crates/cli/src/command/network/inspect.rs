//! `brig network inspect`

use clap::Parser;

use crate::command::inspect::{self, Kind};
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::session::Session;

/// Display detailed information on one or more networks
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// The networks
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Execute for Inspect {
    async fn execute(self, session: &Session) -> Result<Exit> {
        inspect::print(session, &self.networks, &[Kind::Network], self.format.as_deref()).await
    }
}
