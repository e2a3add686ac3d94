//! `/brig/v1/…`: what Docker's API lacks.

use std::sync::Arc;

use docker_api::brig::{ResetResponse, ShutdownRequest};
use engine::Engine;
use engine::container::{ListFilter, RemoveOptions};
use engine::images::{self, ImageFilter};
use hyper::{Method, StatusCode};

use super::{Answer, Answering, image};
use crate::check;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) fn dispatch(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    match (&call.method, segments) {
        (&Method::GET, [_, _, "identity"]) => {
            Box::pin(std::future::ready(Ok(http::json(&server.identity))))
        }
        (&Method::GET, [_, _, "system", "check"]) => Box::pin(run_check(server)),
        (&Method::POST, [_, _, "system", "shutdown"]) => Box::pin(shutdown(server, call)),
        (&Method::POST, [_, _, "system", "reset"]) => Box::pin(reset(server)),
        _ => {
            Box::pin(std::future::ready(Err(Refusal::new(StatusCode::NOT_FOUND, "page not found"))))
        }
    }
}

async fn run_check(server: Arc<Server>) -> Answer {
    let conflicts = server.engine.networks().conflicts().await.map_err(|error| stdx::chain(&error));
    let findings = tokio::task::spawn_blocking(move || check::findings(conflicts)).await;
    let findings = findings.map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the check failed: {error}"))
    })?;
    Ok(http::json(&findings))
}

/// Answers with a body that ends when the daemon has ended, so that its caller need not guess.
async fn shutdown(server: Arc<Server>, mut call: Call) -> Answer {
    let request: ShutdownRequest = call.json_or_default().await?;
    let keeper = Arc::clone(&server);
    let reply = call.answer_until_the_end(
        server.headers(),
        Box::new(move |socket, _early| {
            Box::pin(async move {
                keeper.last_sockets.keep(socket);
                // A second request finds the first one on its way.
                let _already_asked = keeper.shutdown.try_send(request);
            })
        }),
    );
    Ok(reply)
}

async fn reset(server: Arc<Server>) -> Answer {
    let engine = Arc::clone(&server.engine);
    let response =
        server.complete(async move { Ok::<_, Refusal>(remove_everything(&engine).await) }).await?;
    Ok(http::json(&response))
}

/// Removes containers, images and volumes, goes on after failures and gathers them.
async fn remove_everything(engine: &Engine) -> ResetResponse {
    let mut response = ResetResponse::default();
    let all = ListFilter { all: true, ..ListFilter::default() };
    for container in list(&mut response, engine.containers().list(&all).await) {
        let options = RemoveOptions { force: true, volumes: true };
        let removed = engine.containers().remove(&container.id, options).await;
        response.containers += count(&mut response.failures, &removed);
    }
    for found in list(&mut response, engine.images().list(&ImageFilter::default()).await) {
        let options = images::RemoveOptions { force: true, keep_layers: false };
        let removed = image::remove_one(engine, &found.id.to_string(), options).await;
        response.images += count(&mut response.failures, &removed);
    }
    for volume in list(&mut response, engine.volumes().list().await) {
        let removed = engine.remove_volume(&volume.name).await;
        response.volumes += count(&mut response.failures, &removed);
    }
    response
}

fn list<T>(response: &mut ResetResponse, listed: Result<Vec<T>, engine::Error>) -> Vec<T> {
    listed.unwrap_or_else(|error| {
        response.failures.push(stdx::chain(&error));
        Vec::new()
    })
}

/// 1 for a success; a failure is noted.
fn count<T>(failures: &mut Vec<String>, removed: &Result<T, engine::Error>) -> u64 {
    match removed {
        Ok(_) => 1,
        Err(error) => {
            failures.push(stdx::chain(error));
            0
        }
    }
}
