//! `brig load`

use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Parser;
use docker_api::image::Progress;
use docker_api::{Lines, Query};

use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::output::progress::{Display, Show};
use crate::session::Session;
use crate::terminal;

/// Load an image from a tar archive or STDIN
#[derive(Debug, Parser)]
pub(crate) struct Load {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Load only the given platform
    #[arg(long)]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

impl Execute for Load {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let query = Query::new()
            .with("quiet", if self.quiet { "1" } else { "0" })
            .maybe("platform", self.platform.as_deref());
        let mut lines: Lines<Progress> = if let Some(path) = &self.input {
            let path = session.environment.absolute(path);
            let file = tokio::fs::File::open(&path)
                .await
                .map_err(|source| Error::local("open", path.display().to_string(), source))?;
            session.client().await?.upload("/images/load", &query, file).await?
        } else if terminal::stdin_is_terminal() {
            return Err(Error::State("requested load from stdin, but stdin is empty".to_owned()));
        } else {
            let stdin = std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|source| Error::local("open", "standard input", source))?;
            let file = tokio::fs::File::from_std(std::fs::File::from(stdin));
            session.client().await?.upload("/images/load", &query, file).await?
        };
        let mut display = Display::new(Show::OnStdout, &session.environment);
        while let Some(progress) = lines.next().await? {
            display.show(&progress)?;
        }
        Ok(Exit::SUCCESS)
    }
}
