//! `brig tag`

use clap::Parser;
use docker_api::Query;

use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::session::Session;

/// Create a tag that refers to an image
#[derive(Debug, Parser)]
pub(crate) struct Tag {
    /// The image
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// Its new name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Execute for Tag {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let (repository, tag) = super::pull::split_tag(&self.target);
        let query = Query::new().with("repo", repository).maybe("tag", tag);
        let path = format!("/images/{}/tag", Query::segment(&self.source));
        client.post_empty(&path, &query).await?;
        Ok(Exit::SUCCESS)
    }
}
