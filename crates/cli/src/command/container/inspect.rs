//! `brig container inspect`

use clap::Parser;

use crate::command::inspect::{self, Kind};
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::session::Session;

/// Display detailed information on one or more containers
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Inspect {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let kinds = [Kind::Container { size: self.size }];
        inspect::print(session, &self.containers, &kinds, self.format.as_deref()).await
    }
}
