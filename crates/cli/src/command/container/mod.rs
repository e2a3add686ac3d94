//! `brig container`: containers from creation to removal.

pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod exec;
mod flow;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod port;
mod ports;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stats;
mod stats_board;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod wait;

use docker_api::container::Inspect;
use docker_api::{Client, Query};

use crate::error::Result;

/// `/containers/ID`.
fn path(container: &str) -> String {
    format!("/containers/{}", Query::segment(container).replace('/', "%2F"))
}

/// `POST /containers/ID/action`.
async fn act(client: &Client, container: &str, action: &str, query: &Query) -> Result<()> {
    client.post_empty(&format!("{}/{action}", path(container)), query).await?;
    Ok(())
}

/// Everything about a container.
async fn inspected(client: &Client, container: &str) -> Result<Inspect> {
    Ok(client.get(&format!("{}/json", path(container)), &Query::new()).await?)
}
