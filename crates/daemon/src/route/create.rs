//! `POST /containers/create`.

use std::sync::Arc;

use docker_api::container::{CreateRequest, CreateResponse};

use super::Answer;
use crate::convert::create;
use crate::http::{self, Call};
use crate::server::Server;

pub(super) async fn create(server: Arc<Server>, mut call: Call) -> Answer {
    let request: CreateRequest = call.json().await?;
    let (name, platform) = (call.query.non_empty("name"), call.query.non_empty("platform"));
    let spec = create::container_spec(request, name, platform)?;
    let engine = Arc::clone(&server.engine);
    let made = server.complete(async move { engine.containers().create(spec).await }).await?;
    Ok(http::created(&CreateResponse { id: made.id, warnings: made.warnings }))
}
