//! `/volumes`.

use std::sync::Arc;

use docker_api::Filters;
use docker_api::volume::{CreateRequest, ListResponse, PruneResponse, Usage, Volume};
use engine::container::{ContainerSummary, ListFilter};
use engine::{Subject, VolumeSpec, VolumeView};
use hyper::StatusCode;

use super::container::has_label;
use super::{Answer, done};
use crate::convert::limits::signed;
use crate::convert::list_filter::truth;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn list(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    filters.check(&["dangling", "driver", "label", "name"])?;
    let dangling = filters.get("dangling").first().map(|word| truth(word)).transpose()?;
    let containers = containers(&server).await?;
    let mut volumes = server.engine.volumes().list().await?;
    volumes.retain(|volume| {
        let unused = users(&containers, &volume.name).next().is_none();
        dangling.is_none_or(|wanted| wanted == unused) && passes(volume, &filters)
    });
    let volumes = volumes.into_iter().map(convert).collect();
    Ok(http::json(&ListResponse { volumes, warnings: Vec::new() }))
}

fn passes(volume: &VolumeView, filters: &Filters) -> bool {
    let (names, drivers) = (filters.get("name"), filters.get("driver"));
    filters.get("label").iter().all(|label| has_label(&volume.labels, label))
        && (names.is_empty() || names.iter().any(|name| volume.name.contains(name.as_str())))
        && (drivers.is_empty() || drivers.iter().any(|driver| driver == "local"))
}

async fn containers(server: &Server) -> Result<Vec<ContainerSummary>, Refusal> {
    let filter = ListFilter { all: true, ..ListFilter::default() };
    Ok(server.engine.containers().list(&filter).await?)
}

/// Ids of the containers that use a volume.
fn users<'a>(containers: &'a [ContainerSummary], volume: &'a str) -> impl Iterator<Item = &'a str> {
    containers
        .iter()
        .filter(move |container| {
            container.mounts.iter().any(|mount| !volume.is_empty() && mount.name == volume)
        })
        .map(|container| container.id.as_str())
}

pub(super) async fn create(server: Arc<Server>, mut call: Call) -> Answer {
    let request: CreateRequest = call.json_or_default().await?;
    let spec = VolumeSpec {
        name: Some(request.name).filter(|name| !name.is_empty()),
        driver: request.driver,
        labels: request.labels,
        options: request.driver_opts,
    };
    let engine = Arc::clone(&server.engine);
    let volume = server.complete(async move { engine.volumes().create(spec).await }).await?;
    Ok(http::created(&convert(volume)))
}

pub(super) async fn inspect(server: Arc<Server>, name: String) -> Answer {
    Ok(http::json(&convert(server.engine.volumes().inspect(&name).await?)))
}

pub(super) async fn remove(server: Arc<Server>, call: Call, name: String) -> Answer {
    let engine = Arc::clone(&server.engine);
    let removed = server.complete(async move { engine.remove_volume(&name).await }).await;
    match removed {
        Err(refusal) if refusal.status == StatusCode::NOT_FOUND && call.query.flag("force") => {
            done()
        }
        other => other.and_then(|()| done()),
    }
}

/// Removes what no container uses: anonymous volumes, with the filter `all` named ones too.
pub(super) async fn prune(server: Arc<Server>, call: Call) -> Answer {
    let filters = Filters::parse(call.query.get("filters"))?;
    filters.check(&["all", "label", "label!"])?;
    let all = filters.get("all").first().map(|word| truth(word)).transpose()?.unwrap_or(false);
    // Before API 1.42 named volumes went too.
    let all = all || call.version < docker_api::ApiVersion::v1(42);
    let containers = containers(&server).await?;
    let mut volumes = server.engine.volumes().list().await?;
    volumes.retain(|volume| {
        (all || volume.anonymous)
            && users(&containers, &volume.name).next().is_none()
            && filters.get("label").iter().all(|label| has_label(&volume.labels, label))
            && !filters.get("label!").iter().any(|label| has_label(&volume.labels, label))
    });
    let engine = Arc::clone(&server.engine);
    let response = server
        .complete(async move {
            let mut response = PruneResponse::default();
            for volume in volumes {
                let bytes = engine.volumes().usage(&volume.name).await?;
                match engine.remove_volume(&volume.name).await {
                    // A container has come to use it.
                    Err(engine::Error::Conflict(_)) => continue,
                    removed => removed?,
                }
                response.space_reclaimed += bytes;
                response.volumes_deleted.push(volume.name);
            }
            super::pruned(&engine, Subject::Volume, response.space_reclaimed);
            Ok::<_, engine::Error>(response)
        })
        .await?;
    Ok(http::json(&response))
}

/// All volumes with their sizes and users.
pub(super) async fn measured(
    server: &Server,
    containers: &[ContainerSummary],
) -> Result<Vec<Volume>, Refusal> {
    let mut measured = Vec::new();
    for view in server.engine.volumes().list().await? {
        let bytes = server.engine.volumes().usage(&view.name).await?;
        let count = users(containers, &view.name).count();
        let mut volume = convert(view);
        volume.usage_data = Some(Usage {
            ref_count: i64::try_from(count).unwrap_or(i64::MAX),
            size: signed(Some(bytes)),
        });
        measured.push(volume);
    }
    Ok(measured)
}

fn convert(view: VolumeView) -> Volume {
    Volume {
        created_at: view.created,
        driver: "local".to_owned(),
        labels: view.labels,
        mountpoint: view.path.to_string_lossy().into_owned(),
        name: view.name,
        options: view.options,
        scope: "local".to_owned(),
        ..Volume::default()
    }
}
