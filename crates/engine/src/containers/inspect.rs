//! Looking at a container.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::RootMount;

use super::entry::{Container, State};
use super::{Containers, Shared, list};
use crate::container::{ContainerInspect, log};
use crate::error::Result;
use crate::{rooms, spec};

impl Containers {
    /// Everything known of it; `size` also measures what it has written.
    ///
    /// # Errors
    /// `NoSuchContainer`.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspect> {
        let container = self.shared.table.find(name)?;
        let mut inspect = container.read(|state| inspect(&self.shared, state));
        if size {
            (inspect.size_rw, inspect.size_root) = self.sizes(&container).await?;
        }
        Ok(inspect)
    }

    /// Bytes written by a container, and those with its image's.
    pub(super) async fn sizes(
        &self,
        container: &Arc<Container>,
    ) -> Result<(Option<u64>, Option<u64>)> {
        let (id, image) = container.read(|s| (s.record.id.clone(), s.record.image_id.clone()));
        self.shared
            .rooms
            .blocking("measure a container", move |rooms| {
                let store = &rooms.store;
                let own = store
                    .snapshots()
                    .usage(&id)
                    .map_err(|error| rooms::storage("measure", &id, error))?
                    .size;
                let image = store
                    .images()
                    .get(&image)
                    .map_err(|error| rooms::storage("measure the image of", &id, error))?;
                Ok((Some(own), image.map(|image| own + image.size)))
            })
            .await
    }
}

fn inspect(shared: &Shared, state: &State) -> ContainerInspect {
    let record = &state.record;
    let layout = shared.rooms.store.layout();
    let run_directory = layout.container_run_dir(&record.id);
    let logs = log::options(&record.spec.host.log).ok().flatten().is_some();
    let security = &record.spec.host.security;
    let confinement = spec::confinement(security).unwrap_or_default();
    let (masked_paths, read_only_paths) =
        spec::system_paths(security, &confinement, &shared.rooms.masked_paths);
    let mut words = record.spec.entrypoint.iter().chain(&record.spec.command).flatten().cloned();
    let pid = state.live.as_ref().map(|live| live.pid);
    let mut spec = record.spec.clone();
    spec.hostname = Some(state.hostname());
    ContainerInspect {
        id: record.id.clone(),
        name: record.name.clone(),
        created: record.created,
        path: words.next().unwrap_or_default(),
        arguments: words.collect(),
        state: state.view(),
        image_id: record.image_id.to_string(),
        platform: "linux".to_owned(),
        restart_count: record.restarts,
        log_path: logs.then(|| layout.log_path(&record.id)),
        resolv_conf_path: run_directory.join("resolv.conf"),
        hostname_path: run_directory.join("hostname"),
        hosts_path: run_directory.join("hosts"),
        masked_paths,
        read_only_paths,
        mounts: record.mounts.iter().map(|mount| mount.point.clone()).collect(),
        networks: list::networks(shared.rooms.store.instance().as_str(), state),
        namespace_path: pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
        ports: list::ports(state),
        exec_ids: shared.execs.of(&record.id),
        overlay: overlay(shared, &record.id),
        size_rw: None,
        size_root: None,
        spec,
    }
}

/// The directories of its overlay, by Docker's names.
fn overlay(shared: &Shared, id: &str) -> BTreeMap<String, String> {
    let Ok(RootMount::Overlay { lowers, upper, work, .. }) =
        shared.rooms.store.snapshots().root_mount(id)
    else {
        return BTreeMap::new();
    };
    let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
    BTreeMap::from([
        ("LowerDir".to_owned(), lowers.join(":")),
        ("UpperDir".to_owned(), upper.display().to_string()),
        ("WorkDir".to_owned(), work.display().to_string()),
    ])
}
