//! `GET /events`.

use std::sync::Arc;

use docker_api::Filters;
use engine::{EventFilter, Subscription};

use super::Answer;
use crate::convert::{event as convert, time};
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn events(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    convert::check(&filters)?;
    // Here, unlike for logs, `0` is a time: everything that is still known.
    let since = match call.query.get("since") {
        "0" => Some(jiff::Timestamp::UNIX_EPOCH),
        text => time::parse(text)?,
    };
    let until = time::parse(call.query.get("until"))?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Refusal::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            since.as_second(),
            until.as_second()
        )));
    }
    let subscription = server.engine.events().subscribe(EventFilter { since, until });
    Ok(http::lines(
        "application/json",
        http::endless(&server.closing, (subscription, filters), next),
    ))
}

type Source = (Subscription, Filters);

async fn next((mut events, filters): Source) -> Option<(std::io::Result<bytes::Bytes>, Source)> {
    loop {
        let event = events.next().await?;
        if convert::passes(&filters, &event) {
            return Some((http::line(&convert::message(event)), (events, filters)));
        }
    }
}
