//! Which mounts a container has: decided, and its volumes made, when it is created.

use std::collections::BTreeMap;
use std::path::Path;

use linux::path::Root;
use storage::NewVolume;

use crate::container::bind;
use crate::container::record::PlannedMount;
use crate::container::{ContainerSpec, MountKind, MountPoint, MountSpec};
use crate::error::{Error, Result};
use crate::rooms::{self, Rooms};
use crate::spec::mounts::tmpfs_options;

/// A mount that another container lends, and whether it is read-only here.
pub(super) type Lent = (PlannedMount, bool);

/// Mounts, and what is to be done for them once the container's snapshot is there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) mounts: Vec<PlannedMount>,
    /// Volume's name and mount target: the image's files there are copied into it when it is empty.
    pub(super) copy_up: Vec<(String, String)>,
    /// Anonymous volumes made for this container, to be removed when its creation fails.
    pub(super) made: Vec<String>,
}

/// Decides on the mounts; makes volumes and missing sources of binds.
///
/// # Errors
/// `Invalid` for a source that does not exist; what storage says.
pub(super) fn plan(rooms: &Rooms, spec: &ContainerSpec, lent: Vec<Lent>) -> Result<Plan> {
    let mut plan = Plan::default();
    let result = fill(rooms, spec, lent, &mut plan);
    if let Err(error) = result {
        discard(rooms, &plan);
        return Err(error);
    }
    plan.mounts.sort_by_key(|mount| mount.point.target.matches('/').count());
    Ok(plan)
}

/// Removes the anonymous volumes of a plan that comes to nothing.
pub(super) fn discard(rooms: &Rooms, plan: &Plan) {
    for name in &plan.made {
        if let Err(error) = rooms.store.volumes().remove(name) {
            tracing::warn!(volume = name, error = %stdx::chain(&error), "cannot remove volume");
        }
    }
}

fn fill(rooms: &Rooms, spec: &ContainerSpec, lent: Vec<Lent>, plan: &mut Plan) -> Result<()> {
    for text in &spec.host.binds {
        let bind = bind::parse(text)?;
        add(rooms, &bind.mount, &bind.mode, plan)?;
    }
    for mount in &spec.host.mounts {
        add(rooms, mount, "", plan)?;
    }
    for (target, options) in &spec.host.tmpfs {
        let point = point(MountKind::Tmpfs, target, options);
        plan.mounts.push(planned(point, tmpfs_options(options)?));
    }
    for (mut mount, read_only) in lent {
        if !taken(plan, &mount.point.target) {
            mount.point.writable &= !read_only;
            plan.mounts.push(mount);
        }
    }
    for target in &spec.volumes {
        if !target.starts_with('/') {
            return Err(Error::Invalid(format!(
                "invalid volume specification: '{target}': mount path must be absolute"
            )));
        }
        if !taken(plan, target) {
            let mount = MountSpec {
                kind: MountKind::Volume,
                target: target.clone(),
                ..MountSpec::default()
            };
            add(rooms, &mount, "", plan)?;
        }
    }
    Ok(())
}

fn taken(plan: &Plan, target: &str) -> bool {
    let target = target.trim_end_matches('/');
    plan.mounts.iter().any(|mount| mount.point.target.trim_end_matches('/') == target)
}

fn add(rooms: &Rooms, mount: &MountSpec, mode: &str, plan: &mut Plan) -> Result<()> {
    let mut point = point(mount.kind, &mount.target, mode);
    point.writable = !mount.read_only;
    match mount.kind {
        MountKind::Bind => {
            point.source.clone_from(&mount.source);
            point.propagation = Some(mount.propagation.unwrap_or_default());
            let planned = PlannedMount {
                non_recursive: mount.non_recursive,
                create_source: mount.create_source,
                ..planned(point, Vec::new())
            };
            ensure_source(&planned)?;
            plan.mounts.push(planned);
        }
        MountKind::Volume => volume(rooms, mount, point, plan)?,
        MountKind::Tmpfs => {
            let mut words = Vec::new();
            words.extend(mount.tmpfs_size.map(|size| format!("size={size}")));
            words.extend(mount.tmpfs_mode.map(|mode| format!("mode={mode:o}")));
            words.extend(mount.read_only.then(|| "ro".to_owned()));
            plan.mounts.push(planned(point, tmpfs_options(&words.join(","))?));
        }
    }
    Ok(())
}

fn volume(rooms: &Rooms, mount: &MountSpec, mut point: MountPoint, plan: &mut Plan) -> Result<()> {
    let name = Some(mount.source.clone()).filter(|name| !name.is_empty());
    let anonymous = name.is_none();
    let request = NewVolume { name, labels: mount.volume_labels.clone(), options: BTreeMap::new() };
    let (volume, is_new) = rooms
        .store
        .volumes()
        .create(&request)
        .map_err(|error| rooms::storage("create volume", &mount.source, error))?;
    if anonymous && is_new {
        plan.made.push(volume.name.clone());
    }
    let directory = rooms.store.volumes().path(&volume.name);
    let mut beneath = None;
    point.source = directory.display().to_string();
    if let Some(subpath) = mount.subpath.as_deref().filter(|path| !path.is_empty()) {
        beneath = Some(point.source);
        point.source = inside(&directory, subpath)?;
    }
    if !mount.no_copy && mount.subpath.is_none() {
        plan.copy_up.push((volume.name.clone(), mount.target.clone()));
    }
    point.name = volume.name;
    "local".clone_into(&mut point.driver);
    plan.mounts.push(PlannedMount { anonymous, beneath, ..planned(point, Vec::new()) });
    Ok(())
}

/// The host path of what is inside a volume, which must exist and not lead out of it. Whether that is
/// so is seen again when it is mounted.
fn inside(directory: &Path, subpath: &str) -> Result<String> {
    let wrong = |why: &str| Error::Invalid(format!("invalid volume subpath '{subpath}': {why}"));
    let relative = Path::new(subpath);
    let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain {
        return Err(wrong("it must be relative and stay inside the volume"));
    }
    let root = Root::open(directory).map_err(|error| rooms::kernel("open", subpath, error))?;
    root.locate(relative).map_err(|_missing| wrong("it does not exist"))?;
    Ok(directory.join(relative).display().to_string())
}

/// Makes the missing source of a bind that wants it; else it must be there.
///
/// # Errors
/// `Invalid` when it is missing and not to be made.
pub(super) fn ensure_source(mount: &PlannedMount) -> Result<()> {
    let source = &mount.point.source;
    if mount.point.kind != MountKind::Bind || Path::new(source).exists() {
        return Ok(());
    }
    if mount.create_source {
        return std::fs::create_dir_all(source)
            .map_err(|error| Error::io("create mount source", source, error));
    }
    Err(Error::Invalid(format!(
        "invalid mount config for type \"bind\": bind source path does not exist: {source}"
    )))
}

fn point(kind: MountKind, target: &str, mode: &str) -> MountPoint {
    MountPoint {
        kind,
        name: String::new(),
        source: String::new(),
        target: target.to_owned(),
        driver: String::new(),
        mode: mode.to_owned(),
        writable: true,
        propagation: None,
    }
}

fn planned(point: MountPoint, options: Vec<String>) -> PlannedMount {
    PlannedMount {
        point,
        non_recursive: false,
        beneath: None,
        create_source: false,
        anonymous: false,
        options,
    }
}
