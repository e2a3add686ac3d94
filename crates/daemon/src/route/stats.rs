//! `GET /containers/{id}/stats`.

use std::sync::Arc;
use std::time::Duration;

use engine::StatsStream;
use engine::container::Stats;

use super::Answer;
use crate::convert::stats as convert;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

/// Between two documents of a stream.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn stats(server: Arc<Server>, call: Call, id: String) -> Answer {
    let streaming = call.query.flag_or("stream", true);
    let one_shot = call.query.flag("one-shot");
    if streaming && one_shot {
        return Err(Refusal::invalid("cannot have stream=true and one-shot=true"));
    }
    let containers = server.engine.containers();
    let id = containers.resolve(&id)?;
    if one_shot {
        let reading = containers.stats(&id).await?;
        return Ok(http::json(&document(&server, &id, &reading, None)));
    }
    let mut stream = containers.stats_stream(&id, INTERVAL).await?;
    if streaming {
        let closing = server.closing.clone();
        let source = Source { server, id, stream, before: None };
        return Ok(http::lines("application/json", http::endless(&closing, Some(source), next)));
    }
    // The numbers of one interval need two readings; one that does not run has none to wait for.
    let first = reading(&mut stream).await?;
    if first.cpu.total == 0 && first.pids.unwrap_or(0) == 0 {
        return Ok(http::json(&document(&server, &id, &first, None)));
    }
    let second = reading(&mut stream).await?;
    Ok(http::json(&document(&server, &id, &second, Some(&first))))
}

async fn reading(stream: &mut StatsStream) -> Result<Stats, Refusal> {
    match stream.next().await {
        Some(reading) => Ok(reading?),
        None => Err(Refusal::new(hyper::StatusCode::NOT_FOUND, "the container was removed")),
    }
}

fn document(
    server: &Server,
    id: &str,
    reading: &Stats,
    before: Option<&Stats>,
) -> docker_api::container::Stats {
    let name = server.engine.containers().name_of(id).unwrap_or_default();
    convert::stats(id, &name, reading, before)
}

struct Source {
    server: Arc<Server>,
    id: String,
    stream: StatsStream,
    before: Option<Stats>,
}

async fn next(source: Option<Source>) -> Option<(std::io::Result<bytes::Bytes>, Option<Source>)> {
    let mut source = source?;
    // A failure ends the stream as the container's removal does.
    let reading = source.stream.next().await?.ok()?;
    let written = document(&source.server, &source.id, &reading, source.before.as_ref());
    source.before = Some(reading);
    Some((http::line(&written), Some(source)))
}
