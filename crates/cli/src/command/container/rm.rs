//! `brig rm`

use clap::Parser;
use docker_api::Query;

use super::path;
use crate::command::{Execute, Exit, each};
use crate::error::{Error, Result};
use crate::output;
use crate::session::Session;

/// Remove one or more containers
#[derive(Debug, Parser)]
pub(crate) struct Remove {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(short, long, hide = true)]
    link: bool,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Remove {
    async fn execute(self, session: &Session) -> Result<Exit> {
        if self.link {
            return Err(crate::refused::error("--link"));
        }
        let client = session.client().await?;
        let query = Query::new().flag("force", self.force).flag("v", self.volumes);
        let force = self.force;
        let query = &query;
        each::print_if(&self.containers, |container| async move {
            let container = container.trim_matches('/');
            if container.is_empty() {
                return Err(Error::State("container name cannot be empty".to_owned()));
            }
            let removed: docker_api::Result<()> = client.delete(&path(container), query).await;
            match removed {
                Err(error) if force && error.status() == Some(404) => {
                    output::warn(Error::Call(error).to_string());
                    Ok(false)
                }
                removed => Ok(removed.map(|()| true)?),
            }
        })
        .await
    }
}
