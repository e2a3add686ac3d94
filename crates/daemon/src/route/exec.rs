//! `/containers/{id}/exec` and `/exec/{id}/…`.

use std::sync::Arc;

use docker_api::exec::{CreateRequest, CreateResponse, StartRequest};
use engine::container::ExecStart;

use super::{Answer, attach, container};
use crate::convert::create::terminal_size;
use crate::convert::exec as convert;
use crate::http::{self, Call};
use crate::server::Server;

pub(super) async fn create(server: Arc<Server>, mut call: Call, id: String) -> Answer {
    let request: CreateRequest = call.json().await?;
    let spec = convert::spec(request)?;
    let id = server.engine.containers().exec_create(&id, spec).await?;
    Ok(http::created(&CreateResponse { id }))
}

pub(super) async fn start(server: Arc<Server>, mut call: Call, id: String) -> Answer {
    let request: StartRequest = call.json_or_default().await?;
    let start =
        ExecStart { detach: request.detach, size: request.console_size.and_then(terminal_size) };
    let (engine, exec) = (Arc::clone(&server.engine), id.clone());
    let started =
        server.complete(async move { engine.containers().exec_start(&exec, start).await }).await?;
    let engine = Arc::clone(&server.engine);
    let detached = move || engine.containers().exec_detached(&id);
    match started {
        Some(session) => Ok(attach::take_over(&server, &call, session, detached)),
        None => Ok(http::nothing()),
    }
}

pub(super) async fn resize(server: Arc<Server>, call: Call, id: String) -> Answer {
    if let Some(size) = container::size(call.query.get("h"), call.query.get("w"))? {
        server.engine.containers().exec_resize(&id, size).await?;
    }
    Ok(http::nothing())
}

pub(super) async fn inspect(server: Arc<Server>, id: String) -> Answer {
    let view = server.engine.containers().exec_inspect(&id).await?;
    Ok(http::json(&convert::inspect(view)))
}
