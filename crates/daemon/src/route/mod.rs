//! The calls of the Docker API, by method and path.
//!
//! Names of images hold slashes, so paths are matched as slices of segments. What Docker knows and
//! brig does not do (yet) is answered 501 by name; what Docker does not know, 404 `page not found`.

mod archive;
mod attach;
mod brig;
mod container;
mod create;
mod event;
mod exec;
mod image;
mod logs;
mod network;
mod pull;
mod stats;
mod system;
mod unknown;
mod volume;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use engine::{Action, Engine, Subject};
use hyper::{Method, StatusCode};

use crate::http::{self, Call, Refusal, Reply};
use crate::server::Server;

/// What a route comes to.
pub(crate) type Answer = Result<Reply, Refusal>;
/// A route that is being answered.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Finds the route of a call.
pub(crate) fn dispatch(server: Arc<Server>, call: Call) -> Answering {
    let path = call.path.clone();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["containers", ..] => containers(server, call, &segments),
        ["images", ..] => images(server, call, &segments),
        ["exec", ..] => execs(server, call, &segments),
        ["volumes" | "networks", ..] => networks_and_volumes(server, call, &segments),
        _ => host(server, call, &segments),
    }
}

fn containers(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    let owned = |id: &&str| (*id).to_owned();
    match (&call.method, segments) {
        (&Method::GET, ["containers", "json"]) => Box::pin(container::list(server, call)),
        (&Method::POST, ["containers", "create"]) => Box::pin(create::create(server, call)),
        (&Method::POST, ["containers", "prune"]) => Box::pin(container::prune(server, call)),
        (&Method::GET, ["containers", id, "json"]) => {
            Box::pin(container::inspect(server, call, owned(id)))
        }
        (&Method::GET, ["containers", id, "top"]) => {
            Box::pin(container::top(server, call, owned(id)))
        }
        (&Method::GET, ["containers", id, "logs"]) => Box::pin(logs::logs(server, call, owned(id))),
        (&Method::HEAD, ["containers", id, "archive"]) => {
            Box::pin(archive::look(server, call, owned(id)))
        }
        (&Method::GET, ["containers", id, "archive"]) => {
            Box::pin(archive::get(server, call, owned(id)))
        }
        (&Method::PUT, ["containers", id, "archive"]) => {
            Box::pin(archive::put(server, call, owned(id)))
        }
        (&Method::GET, ["containers", id, "stats"]) => {
            Box::pin(stats::stats(server, call, owned(id)))
        }
        (&Method::POST, ["containers", id, "exec"]) => {
            Box::pin(exec::create(server, call, owned(id)))
        }
        (&Method::POST, ["containers", id, "attach"]) => {
            Box::pin(attach::attach(server, call, owned(id)))
        }
        (&Method::POST, ["containers", id, "wait"]) => {
            Box::pin(container::wait(server, call, owned(id)))
        }
        (&Method::POST, ["containers", id, verb]) => match container::verb(verb) {
            Some(verb) => Box::pin(container::change(server, call, owned(id), verb)),
            None => unanswered(&call, segments),
        },
        (&Method::DELETE, ["containers", id]) => {
            Box::pin(container::remove(server, call, owned(id)))
        }
        _ => unanswered(&call, segments),
    }
}

fn images(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    match (&call.method, segments) {
        (&Method::GET, ["images", "json"]) => Box::pin(image::list(server, call)),
        (&Method::POST, ["images", "create"]) => Box::pin(pull::create(server, call)),
        (&Method::POST, ["images", "load"]) => Box::pin(pull::load(server, call)),
        (&Method::POST, ["images", "prune"]) => Box::pin(image::prune(server, call)),
        (&Method::GET, ["images", name @ .., "json"]) => {
            Box::pin(image::inspect(server, call, name.join("/")))
        }
        (&Method::GET, ["images", name @ .., "history"]) => {
            Box::pin(image::history(server, name.join("/")))
        }
        (&Method::POST, ["images", name @ .., "tag"]) => {
            Box::pin(image::tag(server, call, name.join("/")))
        }
        (&Method::DELETE, ["images", name @ ..]) if !name.is_empty() => {
            Box::pin(image::remove(server, call, name.join("/")))
        }
        _ => unanswered(&call, segments),
    }
}

fn execs(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    match (&call.method, segments) {
        (&Method::POST, ["exec", id, "start"]) => {
            Box::pin(exec::start(server, call, (*id).to_owned()))
        }
        (&Method::POST, ["exec", id, "resize"]) => {
            Box::pin(exec::resize(server, call, (*id).to_owned()))
        }
        (&Method::GET, ["exec", id, "json"]) => Box::pin(exec::inspect(server, (*id).to_owned())),
        _ => unanswered(&call, segments),
    }
}

fn networks_and_volumes(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    match (&call.method, segments) {
        (&Method::GET, ["networks"]) => Box::pin(network::list(server, call)),
        (&Method::POST, ["networks", "prune"]) => Box::pin(network::prune(call)),
        (&Method::DELETE, ["networks", id]) => Box::pin(network::remove(server, (*id).to_owned())),
        (&Method::GET, ["networks", id]) => Box::pin(network::inspect(server, (*id).to_owned())),
        (&Method::GET, ["volumes"]) => Box::pin(volume::list(server, call)),
        (&Method::POST, ["volumes", "create"]) => Box::pin(volume::create(server, call)),
        (&Method::POST, ["volumes", "prune"]) => Box::pin(volume::prune(server, call)),
        (&Method::GET, ["volumes", name]) => Box::pin(volume::inspect(server, (*name).to_owned())),
        (&Method::DELETE, ["volumes", name]) => {
            Box::pin(volume::remove(server, call, (*name).to_owned()))
        }
        _ => unanswered(&call, segments),
    }
}

fn host(server: Arc<Server>, call: Call, segments: &[&str]) -> Answering {
    match (&call.method, segments) {
        (&Method::GET | &Method::HEAD, ["_ping"]) => Box::pin(system::ping(call)),
        (&Method::GET, ["version"]) => Box::pin(system::version(server, call)),
        (&Method::GET, ["info"]) => Box::pin(system::info(server, call)),
        (&Method::GET, ["events"]) => Box::pin(event::events(server, call)),
        (&Method::POST, ["build", "prune"]) => Box::pin(image::prune_builds(call)),
        (&Method::POST, ["auth"]) => Box::pin(system::auth(call)),
        (&Method::GET, ["system", "df"]) => Box::pin(system::disk_usage(server, call)),
        (_, ["brig", "v1", ..]) => brig::dispatch(server, call, segments),
        _ => unanswered(&call, segments),
    }
}

/// 501 for what Docker has, 404 for what it has not.
fn unanswered(call: &Call, segments: &[&str]) -> Answering {
    let answer = match unknown::feature(&call.method, segments) {
        Some(feature) => Err(Refusal::not_implemented(feature)),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, "page not found")),
    };
    Box::pin(std::future::ready(answer))
}

/// Tells those who listen that what nobody needed is gone.
fn pruned(engine: &Engine, subject: Subject, bytes: u64) {
    let attributes = BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]);
    engine.events().publish(subject, Action::Prune, "", attributes);
}

/// `204`.
fn done() -> Answer {
    Ok(http::empty())
}
