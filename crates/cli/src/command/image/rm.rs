//! `brig rmi`

use clap::Parser;
use docker_api::Query;
use docker_api::image::DeleteItem;

use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::output;
use crate::session::Session;

/// Remove one or more images
#[derive(Debug, Parser)]
pub(crate) struct Remove {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Execute for Remove {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let query = Query::new().flag("force", self.force).flag("noprune", self.no_prune);
        let mut failures = Vec::new();
        for image in &self.images {
            let path = format!("/images/{}", Query::segment(image));
            let removed: docker_api::Result<Vec<DeleteItem>> = client.delete(&path, &query).await;
            match removed {
                Ok(items) => print(&items)?,
                Err(error) if self.force && error.status() == Some(404) => {
                    output::warn(Error::Call(error).to_string());
                }
                Err(error) => failures.push(Error::Call(error)),
            }
        }
        Error::all(&failures)?;
        Ok(Exit::SUCCESS)
    }
}

fn print(items: &[DeleteItem]) -> Result<()> {
    for item in items {
        if item.deleted.is_empty() {
            output::line(format!("Untagged: {}", item.untagged))?;
        } else {
            output::line(format!("Deleted: {}", item.deleted))?;
        }
    }
    Ok(())
}
