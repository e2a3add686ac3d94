//! Making a container: everything that can be refused is refused here, nothing is started.

use std::sync::Arc;

use jiff::Timestamp;

use super::entry::Container;
use super::planning::{self, Lent, Plan};
use super::{Containers, Shared};
use crate::container::record::{LastRun, Record, RunTime};
use crate::container::{
    ContainerSpec, Created, NamespaceMode, NetworkMode, Status, log, merge, name, validate,
};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::images::Image;
use crate::rooms::{self, Rooms};

/// Made-up names that are tried before giving up.
const ATTEMPTS: u32 = 1000;

impl Containers {
    /// Makes a container from an image that is here; starts nothing.
    ///
    /// # Errors
    /// `NoSuchImage`, `NameTaken`, `Invalid` and `Unsupported` options.
    pub async fn create(&self, spec: ContainerSpec) -> Result<Created> {
        self.run(move |shared| async move { create(&shared, spec).await }).await
    }
}

/// A name that goes back when the creation fails.
struct Reserved<'a> {
    shared: &'a Shared,
    name: String,
    id: String,
    kept: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.table.release(&self.name, &self.id);
        }
    }
}

async fn create(shared: &Arc<Shared>, spec: ContainerSpec) -> Result<Created> {
    let image = shared.rooms.images.inspect(&spec.image).await?;
    check_platform(&spec, &image)?;
    let id = stdx::random::hex_id();
    let mut reserved = reserve(shared, spec.name.as_deref(), &id)?;
    let spec = merge::merge(spec, &image.config.config)?;
    let warnings = check(&shared.rooms, &spec)?;
    let spec = join(shared, spec)?;
    // Until this container is seen to use them, no volume that others lend goes with them.
    let _lending = shared.lending.read().await;
    let lent = lent(shared, &spec)?;
    let record = Record {
        id: id.clone(),
        name: reserved.name.clone(),
        created: Timestamp::now(),
        number: shared.table.number(),
        image_id: image.id.clone(),
        spec,
        mounts: Vec::new(),
        running: false,
        was_started: false,
        ended_by_hand: false,
        last: LastRun::default(),
        restarts: 0,
    };
    let make = move |rooms: &Arc<Rooms>| make(rooms, record, lent, &image);
    let record = shared.rooms.blocking("create the container", make).await?;
    let container = Arc::new(Container::new(record, Status::Created));
    shared.table.insert(&container);
    reserved.kept = true;
    shared.publish(&container, Action::Create, &[]);
    Ok(Created { id, warnings })
}

fn reserve<'a>(shared: &'a Shared, wanted: Option<&str>, id: &str) -> Result<Reserved<'a>> {
    let reserved = |name: String| Reserved { shared, name, id: id.to_owned(), kept: false };
    if let Some(wanted) = wanted.filter(|name| !name.is_empty()) {
        let name = name::check(wanted)?;
        shared.table.reserve(name, id)?;
        return Ok(reserved(name.to_owned()));
    }
    for attempt in 0..ATTEMPTS {
        let name = name::generate(attempt);
        if shared.table.reserve(&name, id).is_ok() {
            return Ok(reserved(name));
        }
    }
    Err(Error::Conflict("no free name was found: give one by --name".to_owned()))
}

fn check_platform(spec: &ContainerSpec, image: &Image) -> Result<()> {
    let Some(wanted) = spec.platform.as_deref().filter(|platform| !platform.is_empty()) else {
        return Ok(());
    };
    let mut parts = wanted.split('/');
    let system = parts.next().unwrap_or_default();
    let architecture = parts.next();
    let fits = system == image.config.os
        && architecture.is_none_or(|architecture| architecture == image.config.architecture);
    if fits {
        return Ok(());
    }
    Err(Error::NoSuchImage(format!(
        "{}: the image is here for {}/{}, not for {wanted}",
        spec.image, image.config.os, image.config.architecture
    )))
}

/// Refuses what could only fail at the start.
fn check(rooms: &Rooms, spec: &ContainerSpec) -> Result<Vec<String>> {
    let warnings = validate::validate(spec, rooms.machine)?;
    log::options(&spec.host.log)?;
    super::prepare::dry_run(rooms, spec)?;
    Ok(warnings)
}

/// The options with the ids of the containers whose namespaces it joins in place of their names,
/// which others may have later.
fn join(shared: &Shared, mut spec: ContainerSpec) -> Result<ContainerSpec> {
    if let NetworkMode::Container(name) = &mut spec.host.network.mode {
        *name = shared.table.find(name)?.id.clone();
    }
    if let NamespaceMode::Container(name) = &mut spec.host.pid_mode {
        *name = shared.table.find(name)?.id.clone();
    }
    Ok(spec)
}

/// The mounts that other containers lend.
fn lent(shared: &Shared, spec: &ContainerSpec) -> Result<Vec<Lent>> {
    let mut lent = Vec::new();
    for text in &spec.host.volumes_from {
        let (name, read_only) = match text.rsplit_once(':') {
            Some((name, "ro")) => (name, true),
            Some((name, "rw" | "z" | "Z")) => (name, false),
            Some((_, mode)) => {
                return Err(Error::Invalid(format!("invalid mode for volumes-from: {mode}")));
            }
            None => (text.as_str(), false),
        };
        let container = shared.table.find(name)?;
        let mounts = container.read(|state| state.record.mounts.clone());
        lent.extend(mounts.into_iter().filter(is_lent).map(|m| (m, read_only)));
    }
    Ok(lent)
}

/// Everything on disk. What was made is taken back on failure.
fn make(rooms: &Rooms, mut record: Record, lent: Vec<Lent>, image: &Image) -> Result<Record> {
    let plan = planning::plan(rooms, &record.spec, lent)?;
    record.mounts.clone_from(&plan.mounts);
    if let Err(error) = make_files(rooms, &record, &plan, image) {
        planning::discard(rooms, &plan);
        if let Err(error) = rooms.store.snapshots().remove(&record.id) {
            tracing::warn!(container = record.id, error = %stdx::chain(&error), "cannot take back");
        }
        return Err(error);
    }
    Ok(record)
}

fn make_files(rooms: &Rooms, record: &Record, plan: &Plan, image: &Image) -> Result<()> {
    let id = record.id.as_str();
    let diff_ids = &image.config.rootfs.diff_ids;
    let store = &rooms.store;
    store
        .snapshots()
        .prepare_container(id, diff_ids, record.spec.host.auto_remove)
        .map_err(|error| rooms::storage("prepare the files of", id, error))?;
    if !plan.copy_up.is_empty() {
        let root = store
            .snapshots()
            .view(id)
            .map_err(|error| rooms::storage("look into the files of", id, error))?;
        for (volume, target) in &plan.copy_up {
            store
                .volumes()
                .copy_up(volume, std::os::fd::AsFd::as_fd(&root), std::path::Path::new(target))
                .map_err(|error| rooms::storage("fill volume", volume, error))?;
        }
    }
    rooms.save(record, &RunTime::default())
}

fn is_lent(mount: &crate::container::record::PlannedMount) -> bool {
    mount.is_bind()
}
