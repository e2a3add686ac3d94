//! `brig completion`

use clap::Parser;
use clap_complete::Shell;

use super::{Execute, Exit};
use crate::error::Result;
use crate::output;
use crate::session::Session;

/// Generate the autocompletion script for the specified shell
#[derive(Debug, Parser)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Execute for Completion {
    async fn execute(self, _session: &Session) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::help::full_tree(), "brig", &mut script);
        output::write_bytes(&script)?;
        Ok(Exit::SUCCESS)
    }
}
