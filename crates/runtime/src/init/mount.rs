//! Carrying out the mounts of the plan, in order.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use linux::mount::{FileSystem, set_attributes};
use linux::path::Root;
use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::{Proceed, Rootfs, cgroup};
use crate::channel::Failure;
use crate::plan::{MountPlan, MountSource, NewMount, Plan};

/// File systems that do not care about the network namespace of whoever makes them; sysfs does.
const KINDS_WITHOUT_NETWORK: [&str; 4] = ["devpts", "mqueue", "proc", "tmpfs"];

/// File systems that the kernel has labelled already when they are mounted, each file by itself.
const KINDS_WITHOUT_LABEL: [&str; 3] = ["mqueue", "proc", "sysfs"];

/// All mounts. Says whether `/dev` is a bind mount, which is not ours to furnish.
pub(super) fn all(
    plan: &mut Plan,
    rootfs: &Rootfs,
    proceed: &mut Proceed<'_>,
) -> Result<bool, Failure> {
    let mut dev_is_bound = false;
    for mount in std::mem::take(&mut plan.mounts) {
        let bound = matches!(mount.source, MountSource::Bind { .. });
        if mount.destination == Path::new("/dev") {
            dev_is_bound = bound;
        }
        one(mount, plan, rootfs, proceed)?;
    }
    Ok(dev_is_bound)
}

fn one(
    mount: MountPlan,
    plan: &Plan,
    rootfs: &Rootfs,
    proceed: &mut Proceed<'_>,
) -> Result<(), Failure> {
    let root = &rootfs.root;
    let destination = mount.destination.as_path();
    let attach = |tree: &OwnedFd, target: &OwnedFd, destination: &Path| {
        if !mount.may_cover_proc && linux::mount::is_procfs(target.as_fd()) {
            let object = destination.display();
            return Err(linux::Error::new("mount inside of /proc at", object, Errno::PERM).into());
        }
        attach(tree, target, destination)
    };
    match mount.source {
        MountSource::Bind { tree, directory } => {
            let target = if directory {
                root.create_dir_all(destination, 0o755)?
            } else {
                file_target(root, destination)?
            };
            attach(&tree, &target, destination)
        }
        MountSource::New(new) => {
            if !KINDS_WITHOUT_NETWORK.contains(&new.kind.as_str()) {
                proceed.wait(plan)?;
            }
            let target = directory_target(root, destination, &new.kind)?;
            let tree = make(&new, plan.mount_label.as_deref(), &target)?;
            if new.copy_up {
                linux::path::copy_tree(&target, &tree)?;
            }
            attach(&tree, &target, destination)
        }
        MountSource::Cgroup(attributes) => {
            proceed.wait(plan)?;
            cgroup::mount(destination, &attributes, plan, root)
        }
        MountSource::Remount { attributes, recursive } => {
            let target = root.locate(destination)?;
            set_attributes(&target, &recursive, true)?;
            Ok(set_attributes(&target, &attributes, false)?)
        }
    }
}

pub(super) fn attach(tree: &OwnedFd, target: &OwnedFd, destination: &Path) -> Result<(), Failure> {
    linux::mount::attach(tree, target).map_err(|error| {
        let errno = error.errno().unwrap_or(Errno::IO);
        linux::Error::new("mount at", destination.display(), errno).into()
    })
}

/// The kernel's own file systems must lie where they seem to lie: what the container later trusts in
/// `/proc` must not be what an image's link made of it.
fn directory_target(root: &Root, destination: &Path, kind: &str) -> Result<OwnedFd, Failure> {
    let target = root.create_dir_all(destination, 0o755)?;
    if matches!(kind, "proc" | "sysfs") {
        let status = root.metadata_itself(destination)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            let object = destination.display();
            return Err(linux::Error::new("mount on link", object, Errno::NOTDIR).into());
        }
    }
    Ok(target)
}

/// A file to mount on: what is there, or a new empty one.
pub(super) fn file_target(root: &Root, destination: &Path) -> Result<OwnedFd, Failure> {
    if let Some(found) = root.find(destination)? {
        return Ok(found);
    }
    drop(root.create_file(destination, 0o644)?);
    Ok(root.locate(destination)?)
}

fn make(new: &NewMount, labels: Option<&str>, target: &OwnedFd) -> Result<OwnedFd, Failure> {
    let file_system = FileSystem::open(&new.kind)?;
    file_system.set("source", &new.source)?;
    if new.kind == "tmpfs" && !new.options.iter().any(|option| option.starts_with("mode=")) {
        let status = rustix::fs::fstat(target)
            .map_err(|errno| linux::Error::new("look at", "a mount point", errno))?;
        file_system.set("mode", format!("{:o}", status.st_mode & 0o7777))?;
    }
    for option in &new.options {
        file_system.set_option(option)?;
    }
    if let Some(label) = labels.filter(|_| !KINDS_WITHOUT_LABEL.contains(&new.kind.as_str())) {
        file_system.set_label(label)?;
    }
    let tree = file_system.mount(&new.attributes)?;
    if let Some(label) = labels.filter(|_| new.kind == "mqueue") {
        label_queues(&tree, label)?;
    }
    let spread = linux::mount::Attributes {
        propagation: new.attributes.propagation,
        ..linux::mount::Attributes::default()
    };
    set_attributes(&tree, &spread, false)?;
    Ok(tree)
}

/// The label of the root of message queues, which were there with their namespace.
fn label_queues(tree: &OwnedFd, label: &str) -> Result<(), Failure> {
    let fail = |errno| linux::Error::new("label", "mqueue", errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(tree, ".", flags, Mode::empty()).map_err(fail)?;
    match rustix::fs::fsetxattr(root, "security.selinux", label.as_bytes(), XattrFlags::empty()) {
        // The policy labels such file systems in a way of its own.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(fail(errno).into()),
    }
}
