//! `/images`: what is here.

use std::sync::Arc;

use docker_api::image::{BuildPruneResponse, DeleteItem, PruneResponse};
use docker_api::{ApiVersion, Filters};
use engine::container::{ContainerSummary, ListFilter};
use engine::images::{ImageFilter, ImageUser, RemoveOptions};
use engine::{Engine, Subject};
use hyper::StatusCode;
use oci::{Digest, Reference};

use super::Answer;
use crate::convert::list_filter::truth;
use crate::convert::{image as convert, list_filter, time};
use crate::http::{self, Body, Call, Reply};
use crate::server::Server;

/// Before this version sizes were told twice.
const VIRTUAL_SIZES: ApiVersion = ApiVersion::v1(44);

pub(super) async fn list(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    let mut filter = list_filter::images(&filters)?;
    // Before API 1.25 a single name could be given outside the filters.
    filter.references.extend(call.query.non_empty("filter").map(str::to_owned));
    let images = server.engine.images().list(&filter).await?;
    let mut rows: Vec<_> = images.iter().map(convert::summary).collect();
    if call.version < VIRTUAL_SIZES {
        rows.iter_mut().for_each(|row| row.virtual_size = row.size);
    }
    Ok(http::json(&rows))
}

pub(super) async fn inspect(server: Arc<Server>, call: Call, name: String) -> Answer {
    let mut image = convert::inspect(server.engine.images().inspect(&name).await?);
    if call.version < VIRTUAL_SIZES {
        image.virtual_size = image.size;
    }
    Ok(http::json(&image))
}

pub(super) async fn history(server: Arc<Server>, name: String) -> Answer {
    let lines = server.engine.images().history(&name).await?;
    let rows: Vec<_> = lines.into_iter().map(convert::history).collect();
    Ok(http::json(&rows))
}

pub(super) async fn tag(server: Arc<Server>, call: Call, name: String) -> Answer {
    let repository = call.query.get("repo");
    let target = match call.query.non_empty("tag") {
        Some(tag) => Reference::parse(repository)?.with_tag(tag)?,
        None => Reference::parse(repository)?,
    };
    let engine = Arc::clone(&server.engine);
    server.complete(async move { engine.images().tag(&name, &target).await }).await?;
    let mut reply = Reply::new(Body::Whole(None));
    *reply.status_mut() = StatusCode::CREATED;
    Ok(reply)
}

pub(super) async fn remove(server: Arc<Server>, call: Call, name: String) -> Answer {
    let options =
        RemoveOptions { force: call.query.flag("force"), keep_layers: call.query.flag("noprune") };
    let engine = Arc::clone(&server.engine);
    let removed = server.complete(async move { remove_one(&engine, &name, options).await }).await?;
    Ok(http::json(&removed))
}

/// Removes a name or an image.
pub(super) async fn remove_one(
    engine: &Engine,
    name: &str,
    options: RemoveOptions,
) -> Result<Vec<DeleteItem>, engine::Error> {
    let users = users(engine).await?;
    let removals = engine.images().remove(name, options, &users).await?;
    Ok(removals.into_iter().map(convert::removal).collect())
}

/// Which containers need which image.
async fn users(engine: &Engine) -> Result<Vec<ImageUser>, engine::Error> {
    let filter = ListFilter { all: true, ..ListFilter::default() };
    let containers = engine.containers().list(&filter).await?.into_iter();
    let user = |container: ContainerSummary| {
        let running = container.state.status.is_alive();
        let image = Digest::parse(&container.image_id).ok()?;
        Some(ImageUser { image, container: container.id, running })
    };
    Ok(containers.filter_map(user).collect())
}

/// Nothing is kept of builds, so there is nothing to remove.
pub(super) async fn prune_builds(call: Call) -> Answer {
    Filters::parse(call.query.get("filters"))?;
    Ok(http::json(&BuildPruneResponse::default()))
}

/// Removes images without a tag; with `dangling=false` all that no container uses. What is left of
/// pulls and loads that failed goes too.
pub(super) async fn prune(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    filters.check(&["dangling", "label", "label!", "until"])?;
    let dangling = filters.get("dangling").first().map(|word| truth(word)).transpose()?;
    let until = filters.get("until").first().map(|text| time::cut_off(text)).transpose()?;
    let filter = ImageFilter {
        labels: filters.get("label").to_vec(),
        dangling: Some(true).filter(|_| dangling.unwrap_or(true)),
        ..ImageFilter::default()
    };
    let unwanted = filters.get("label!").to_vec();
    let engine = Arc::clone(&server.engine);
    let response = server
        .complete(async move {
            let mut response = PruneResponse::default();
            let users = users(&engine).await?;
            for image in engine.images().list(&filter).await? {
                let id = image.id.to_string();
                let young = until.is_some_and(|until| image.created.is_some_and(|at| at >= until));
                let kept = unwanted
                    .iter()
                    .any(|wanted| super::container::has_label(image.labels(), wanted));
                if users.iter().any(|user| user.image == image.id) || young || kept {
                    continue;
                }
                let options = RemoveOptions { force: true, keep_layers: false };
                response.images_deleted.extend(remove_one(&engine, &id, options).await?);
                response.space_reclaimed += image.size;
            }
            response.space_reclaimed += engine.images().collect_garbage().await?;
            super::pruned(&engine, Subject::Image, response.space_reclaimed);
            Ok::<_, engine::Error>(response)
        })
        .await?;
    Ok(http::json(&response))
}
