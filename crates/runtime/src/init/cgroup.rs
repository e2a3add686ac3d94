//! The container's view of its control groups.
//!
//! ```text
//! version 2    /sys/fs/cgroup              the own group (a cgroup2 mount, or bound)
//! version 1    /sys/fs/cgroup              tmpfs
//! or both      /sys/fs/cgroup/memory …     the own group of each v1 hierarchy, bound
//!              /sys/fs/cgroup/cpu → cpu,cpuacct   links for hierarchies with several controllers
//! ```

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use linux::cgroup::{Hierarchy, Layout, Mode, Version};
use linux::mount::{Attributes, FileSystem, set_attributes};
use linux::path::{OFlags, Root};

use super::mount::attach;
use crate::channel::Failure;
use crate::plan::Plan;

/// Mounts it. The process is in its group already, and in its cgroup namespace if it has one.
pub(super) fn mount(
    destination: &Path,
    attributes: &Attributes,
    plan: &Plan,
    root: &Root,
) -> Result<(), Failure> {
    let group = plan.cgroup.as_str();
    let layout = Layout::detect()?;
    let target = root.create_dir_all(destination, 0o755)?;
    if layout.mode() == Mode::Unified {
        let Some(hierarchy) = layout.unified() else { return Ok(()) };
        let tree = bind_group(hierarchy, group, attributes)?;
        return attach(&tree, &target, destination);
    }
    let tmpfs = FileSystem::open("tmpfs")?;
    tmpfs.set("source", "tmpfs")?;
    tmpfs.set("mode", "755")?;
    if let Some(label) = &plan.mount_label {
        tmpfs.set_label(label)?;
    }
    let tmpfs = tmpfs.mount(&Attributes { read_only: None, ..*attributes })?;
    attach(&tmpfs, &target, destination)?;
    let inside = Root::from_fd(tmpfs);
    for hierarchy in layout.hierarchies() {
        if hierarchy.version == Version::V1 {
            mount_hierarchy(hierarchy, group, attributes, &inside)?;
        }
    }
    let read_only = Attributes { read_only: attributes.read_only, ..Attributes::default() };
    Ok(set_attributes(&inside, &read_only, false)?)
}

fn mount_hierarchy(
    hierarchy: &Hierarchy,
    group: &str,
    attributes: &Attributes,
    inside: &Root,
) -> Result<(), Failure> {
    let Some(name) = hierarchy.mount_point.file_name() else { return Ok(()) };
    let tree = bind_group(hierarchy, group, attributes)?;
    let target = make_directory(inside, name)?;
    attach(&tree, &target, Path::new(name))?;
    for controller in &hierarchy.controllers {
        let link = Path::new(controller);
        if link != Path::new(name) && !controller.starts_with("name=") {
            inside.symlink(Path::new(name), link)?;
        }
    }
    Ok(())
}

/// In the file system just made there is nothing yet that could be in the way.
fn make_directory(inside: &Root, name: &OsStr) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::mkdirat(inside, name, rustix::fs::Mode::from_raw_mode(0o755))
        .and_then(|()| rustix::fs::openat(inside, name, flags, rustix::fs::Mode::empty()))
        .map_err(|errno| {
            linux::Error::new("create directory", name.to_string_lossy(), errno).into()
        })
}

fn bind_group(
    hierarchy: &Hierarchy,
    group: &str,
    attributes: &Attributes,
) -> Result<OwnedFd, Failure> {
    // By path, because the hierarchy's open root is a mount of the caller's namespace, of which no
    // copy can be made here; this process's own copy of the host's tree is still in place.
    let path = hierarchy.mount_point.join(group.trim_start_matches('/'));
    let tree = linux::mount::bind(&path, false)?;
    set_attributes(&tree, attributes, false)?;
    Ok(tree)
}
