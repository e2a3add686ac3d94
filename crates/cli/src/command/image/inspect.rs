//! `brig image inspect`

use clap::Parser;

use crate::command::inspect::{self, Kind};
use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::session::Session;

/// Display detailed information on one or more images
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Execute for Inspect {
    async fn execute(self, session: &Session) -> Result<Exit> {
        inspect::print(session, &self.images, &[Kind::Image], self.format.as_deref()).await
    }
}
