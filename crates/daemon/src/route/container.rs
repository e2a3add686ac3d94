//! `/containers`: what changes a container, and what looks at it.

use std::sync::Arc;

use docker_api::Filters;
use docker_api::container::{PruneResponse, Top, WaitError, WaitResponse};
use engine::container::{ListFilter, RemoveOptions, TerminalSize, WaitCondition};
use engine::{Status, Subject};
use jiff::Timestamp;

use super::{Answer, done};
use crate::convert::{inspect as view, list_filter, summary};
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn list(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    let Some(mut filter) = list_filter::containers(&filters)? else {
        return Ok(http::json(&[(); 0]));
    };
    filter.all = call.query.flag("all");
    filter.size = call.query.flag("size");
    filter.limit = limit(call.query.get("limit"))?;
    for (name, place) in [("before", &mut filter.before), ("since", &mut filter.since)] {
        if let Some(container) = call.query.non_empty(name) {
            *place = Some(container.to_owned());
        }
    }
    let views = server.engine.containers().list(&filter).await?;
    let now = Timestamp::now();
    let rows: Vec<_> = views.into_iter().map(|view| summary::summary(view, now)).collect();
    Ok(http::json(&rows))
}

/// Absent when 0 or below.
fn limit(text: &str) -> Result<Option<usize>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let number: i64 =
        text.parse().map_err(|_| Refusal::invalid(format!("invalid limit: {text}")))?;
    Ok(usize::try_from(number).ok().filter(|&number| number > 0))
}

pub(super) async fn inspect(server: Arc<Server>, call: Call, id: String) -> Answer {
    let view = server.engine.containers().inspect(&id, call.query.flag("size")).await?;
    Ok(http::json(&view::inspect(view)))
}

pub(super) async fn top(server: Arc<Server>, call: Call, id: String) -> Answer {
    let table = server.engine.containers().top(&id, call.query.get("ps_args")).await?;
    Ok(http::json(&Top { processes: table.rows, titles: table.titles }))
}

/// What changes a container and answers nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Kill,
    Pause,
    Unpause,
    Rename,
    Resize,
}

/// The verb of `POST /containers/{id}/{word}`.
pub(super) fn verb(word: &str) -> Option<Verb> {
    Some(match word {
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "kill" => Verb::Kill,
        "pause" => Verb::Pause,
        "unpause" => Verb::Unpause,
        "rename" => Verb::Rename,
        "resize" => Verb::Resize,
        _ => return None,
    })
}

pub(super) async fn change(server: Arc<Server>, call: Call, id: String, verb: Verb) -> Answer {
    let query = &call.query;
    if matches!(verb, Verb::Start) && query.non_empty("checkpoint").is_some() {
        return Err(Refusal::not_implemented("starting from a checkpoint"));
    }
    let signal = query.non_empty("signal").map(str::to_owned);
    let timeout = seconds(query.get("t"))?;
    let name = query.get("name").to_owned();
    let size =
        if matches!(verb, Verb::Resize) { size(query.get("h"), query.get("w"))? } else { None };
    let engine = Arc::clone(&server.engine);
    server
        .complete(async move {
            let containers = engine.containers();
            let signal = signal.as_deref();
            match verb {
                Verb::Start => containers.start(&id).await,
                Verb::Stop => containers.stop(&id, signal, timeout).await,
                Verb::Restart => containers.restart(&id, signal, timeout).await,
                Verb::Kill => containers.kill(&id, signal).await,
                Verb::Pause => containers.pause(&id).await,
                Verb::Unpause => containers.unpause(&id).await,
                Verb::Rename => containers.rename(&id, &name).await,
                Verb::Resize => match size {
                    Some(size) => containers.resize(&id, size).await,
                    None => Ok(()),
                },
            }
        })
        .await?;
    match verb {
        Verb::Resize => Ok(http::nothing()),
        _ => done(),
    }
}

/// Seconds; negative is for ever.
fn seconds(text: &str) -> Result<Option<i64>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Refusal::invalid(format!("invalid timeout: {text}")))
}

/// A terminal's size; `None` for 0 by 0, which clients send before they know it.
pub(super) fn size(height: &str, width: &str) -> Result<Option<TerminalSize>, Refusal> {
    let cells = |text: &str| {
        text.parse::<u32>()
            .map(|number| u16::try_from(number).unwrap_or(u16::MAX))
            .map_err(|_| Refusal::invalid(format!("invalid size of a terminal: \"{text}\"")))
    };
    let (height, width) = (cells(height)?, cells(width)?);
    Ok((height > 0 && width > 0).then_some(TerminalSize { height, width }))
}

pub(super) async fn wait(server: Arc<Server>, call: Call, id: String) -> Answer {
    let condition = match call.query.get("condition") {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(Refusal::invalid(format!("invalid condition: \"{other}\""))),
    };
    let waiter = server.engine.containers().wait(&id, condition).await?;
    // The head goes out at once, so that the client knows that it waits; then the outcome.
    let body = http::endless(&server.closing, Some(waiter), |waiter| async {
        let outcome = waiter?.outcome().await;
        let response = WaitResponse {
            status_code: i64::from(outcome.exit_code),
            error: outcome.error.map(|message| WaitError { message }),
        };
        Some((http::line(&response), None))
    });
    Ok(http::lines("application/json", body))
}

pub(super) async fn remove(server: Arc<Server>, call: Call, id: String) -> Answer {
    if call.query.flag("link") {
        return Err(Refusal::not_implemented("removal of links"));
    }
    let options = RemoveOptions { force: call.query.flag("force"), volumes: call.query.flag("v") };
    let engine = Arc::clone(&server.engine);
    server.complete(async move { engine.containers().remove(&id, options).await }).await?;
    done()
}

pub(super) async fn prune(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    filters.check(&["label", "label!", "until"])?;
    let until = filters.get("until").first().map(|text| crate::convert::time::cut_off(text));
    let until = until.transpose()?;
    let unwanted = filters.get("label!").to_vec();
    let filter = ListFilter {
        all: true,
        statuses: vec![Status::Created, Status::Exited, Status::Dead],
        labels: filters.get("label").to_vec(),
        size: true,
        ..ListFilter::default()
    };
    let engine = Arc::clone(&server.engine);
    let response = server
        .complete(async move {
            let mut response = PruneResponse::default();
            for view in engine.containers().list(&filter).await? {
                let young = until.is_some_and(|until| view.created >= until);
                if young || unwanted.iter().any(|wanted| has_label(&view.labels, wanted)) {
                    continue;
                }
                // One that was started or removed meanwhile is left alone.
                let removed = engine.containers().remove(&view.id, RemoveOptions::default()).await;
                if removed.is_ok() {
                    response.space_reclaimed += view.size_rw.unwrap_or(0);
                    response.containers_deleted.push(view.id);
                }
            }
            super::pruned(&engine, Subject::Container, response.space_reclaimed);
            Ok::<_, engine::Error>(response)
        })
        .await?;
    Ok(http::json(&response))
}

/// `key` or `key=value`.
pub(super) fn has_label(labels: &std::collections::BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}
