//! Writing a checkpoint.

use std::path::Path;

use linux::cgroup::{Group, Layout, Mode};
use linux::path::Root;
use linux::process::{Pid, SingleThreaded};
use oci::runtime::{Linux, Spec};
use rustix::io::Errno;

use super::image::{self, Opened, Places};
use super::rpc::{self, Kind, ManageGroups, Options, Switch};
use super::worker::{self, Criu, Surroundings};
use super::{external, stream};
use crate::Error;
use crate::plan::kind_of;
use crate::state::Record;

/// A checkpoint to be written by [`checkpoint`].
#[derive(Debug)]
pub struct CheckpointRequest<'a> {
    /// Who writes it.
    pub criu: &'a Criu,
    /// The container, which must run or be paused.
    pub record: &'a Record,
    /// Its configuration.
    pub spec: &'a Spec,
    /// Its control group.
    pub group: &'a Group,
    /// Where to.
    pub places: Places<'a>,
    /// What is switched on.
    pub switches: &'a [Switch],
    /// What of its control groups is written.
    pub manage_groups: ManageGroups,
    /// The memory alone is written, and the container goes on.
    pub memory_only: bool,
    /// An earlier checkpoint, relative to the new one: what has not changed since is left out.
    pub parent: Option<&'a str>,
    /// Who takes the memory instead of files.
    pub page_server: Option<(&'a str, u16)>,
}

/// Its file in the work directory.
const LOG: &str = "dump.log";

/// Writes a checkpoint of a container; its processes have ended then, unless told otherwise.
///
/// # Errors
/// [`Error::Unsupported`] for what CRIU cannot do, [`Error::Criu`] for what it tried in vain: the
/// container then runs, or is paused, as before.
pub fn checkpoint(token: &SingleThreaded, request: &CheckpointRequest<'_>) -> Result<(), Error> {
    external::refuse_unsupported(request.spec)?;
    worker::check_version(token, request.criu)?;
    if request.memory_only || request.parent.is_some() {
        worker::check_memory_tracking(token, request.criu)?;
    }
    let opened = request.places.make(LOG)?;
    if let Some(parent) = request.parent {
        image::check_new_parent(&opened.image, parent)?;
    }
    let was_frozen = request.group.is_frozen().unwrap_or(false);
    let (kind, options) = options(request, &opened)?;
    let message = rpc::request(kind, &options);
    let mut keep = vec![std::os::fd::AsFd::as_fd(&opened.image)];
    keep.extend(opened.work.as_ref().map(std::os::fd::AsFd::as_fd));
    let surroundings = Surroundings { group: None, keep };
    let result = worker::ask(
        token,
        request.criu,
        &surroundings,
        &|| Ok(Vec::new()),
        &message,
        &mut |_, _, _| Ok(()),
    );
    match result {
        Ok(_) => Ok(()),
        Err(error) => {
            if !was_frozen && request.group.is_frozen().unwrap_or(false) {
                // CRIU was ended in the middle: nobody else would let the container go on.
                request.group.thaw()?;
            }
            Err(opened.explain(error))
        }
    }
}

fn options(request: &CheckpointRequest<'_>, opened: &Opened) -> Result<(Kind, Options), Error> {
    let mut options = Options::new(image::number_of(&opened.image)?, LOG, request.manage_groups);
    if let Some(work) = &opened.work {
        options.number(rpc::WORK_DIRECTORY, image::number_of(work)?);
    }
    let pid = Pid::from_raw(request.record.state.pid)
        .ok_or_else(|| linux::Error::new("find", "the container's process", Errno::SRCH))?;
    options.number(rpc::PROCESS, pid.as_raw_nonzero().get().unsigned_abs());
    options.text(rpc::ROOT, &request.record.rootfs);
    options.switches(request.switches);
    if !request.criu.has("iptables-restore") {
        options.number(rpc::NETWORK_LOCK, rpc::BY_NFTABLES);
    }
    if let Some(path) = freezer(request.group)? {
        options.text(rpc::FREEZE_GROUP, &path);
    }
    if let Some(parent) = request.parent {
        options.text(rpc::PARENT, parent);
    }
    if request.parent.is_some() || request.memory_only {
        options.number(rpc::TRACK_MEMORY, 1);
    }
    if let Some((address, port)) = request.page_server {
        options.page_server(address, port);
    }
    namespaces(request.spec, &mut options)?;
    if request.memory_only {
        return Ok((Kind::PreDump, options));
    }
    mounts(request, pid, &mut options)?;
    let streams = stream::names(pid, &request.group.processes()?);
    let is_external = |name: &&String| name.starts_with("file[") || name.starts_with("tty[");
    for stream in streams.iter().filter(is_external) {
        options.text(rpc::EXTERNAL, stream);
    }
    opened.write_descriptors(&streams)?;
    Ok((Kind::Dump, options))
}

/// By it CRIU stops all processes at once.
fn freezer(group: &Group) -> Result<Option<String>, Error> {
    let layout = Layout::detect()?;
    let hierarchy = match layout.mode() {
        Mode::Unified => layout.unified(),
        _ => layout.of("freezer"),
    };
    let path = |mount_point: &Path| mount_point.join(group.path().trim_start_matches('/'));
    Ok(hierarchy.map(|hierarchy| path(&hierarchy.mount_point).display().to_string()))
}

fn namespaces(spec: &Spec, options: &mut Options) -> Result<(), Error> {
    let empty = Linux::default();
    for joined in external::joined(spec.linux.as_ref().unwrap_or(&empty)) {
        let Some((word, key)) = external::key_of(joined.kind) else { continue };
        let status = rustix::fs::stat(&joined.path)
            .map_err(|errno| linux::Error::new("look at namespace", &joined.path, errno))?;
        let own = crate::exec::identity("self", kind_of(joined.kind))?;
        if own != Some(status.st_ino) {
            options.text(rpc::EXTERNAL, &format!("{word}[{}]:{key}", status.st_ino));
        }
    }
    Ok(())
}

fn mounts(request: &CheckpointRequest<'_>, pid: Pid, options: &mut Options) -> Result<(), Error> {
    let root = Root::open(Path::new(&request.record.rootfs))?;
    let bundle = Path::new(&request.record.state.bundle);
    for mount in external::mounts(request.spec, bundle, &root, request.group.path())? {
        options.external_mount(&mount.destination, &mount.destination);
    }
    let inside = Root::open(Path::new(&format!("/proc/{}/root", pid.as_raw_nonzero())))?;
    let masked = request.spec.linux.iter().flat_map(|linux| &linux.masked_paths);
    let masked: Vec<String> = masked.cloned().collect();
    for path in external::masked_files(&masked, &inside)? {
        options.external_mount(&path, "/dev/null");
    }
    Ok(())
}
