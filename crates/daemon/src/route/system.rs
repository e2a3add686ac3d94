//! `/_ping`, `/version`, `/info`, `/auth`, `/system/df`.

use std::sync::Arc;

use docker_api::system::DiskUsage;
use engine::container::ListFilter;
use engine::images::ImageFilter;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use jiff::Timestamp;

use super::{Answer, volume};
use crate::convert::limits::signed;
use crate::convert::{image, summary, system as convert};
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn ping(_call: Call) -> Answer {
    let mut reply = http::text(StatusCode::OK, "OK");
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("builder-version"), HeaderValue::from_static("1"));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    Ok(reply)
}

pub(super) async fn version(server: Arc<Server>, _call: Call) -> Answer {
    let facts = server.engine.system().facts().await?;
    Ok(http::json(&convert::version(&facts)))
}

pub(super) async fn info(server: Arc<Server>, _call: Call) -> Answer {
    let facts = server.engine.system().facts().await?;
    Ok(http::json(&convert::info(facts, Timestamp::now())))
}

pub(super) async fn auth(_call: Call) -> Answer {
    Err(Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "checking credentials is not implemented by brig yet; they are checked when an image is \
         pulled",
    ))
}

pub(super) async fn disk_usage(server: Arc<Server>, call: Call) -> Answer {
    let wanted = |kind: &str| !call.query.has("type") || call.query.all("type").any(|t| t == kind);
    let usage = server.engine.system().disk_usage().await?;
    let mut response = DiskUsage::default();
    if wanted("image") {
        response.layers_size = signed(Some(usage.layers));
        let images = server.engine.images().list(&ImageFilter::default()).await?;
        response.images = images.iter().map(image::summary).collect();
    }
    let filter = ListFilter { all: true, size: true, ..ListFilter::default() };
    let containers = server.engine.containers().list(&filter).await?;
    for row in &mut response.images {
        let users = containers.iter().filter(|container| container.image_id == row.id).count();
        row.containers = i64::try_from(users).unwrap_or(i64::MAX);
    }
    if wanted("volume") {
        response.volumes = volume::measured(&server, &containers).await?;
    }
    if wanted("container") {
        let now = Timestamp::now();
        response.containers =
            containers.into_iter().map(|view| summary::summary(view, now)).collect();
    }
    Ok(http::json(&response))
}
