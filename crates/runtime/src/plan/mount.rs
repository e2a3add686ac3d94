//! `mounts`: what to mount where.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::mount::{Attributes, Propagation};
use linux::path::Root;
use rustix::fs::FileType;

use super::option::{MountOptions, Recursion, parse};
use crate::Error;

/// One mount.
#[derive(Debug)]
pub(crate) struct MountPlan {
    /// Absolute path inside.
    pub destination: PathBuf,
    /// What is mounted.
    pub source: MountSource,
    /// Whether it may lie on the container's procfs.
    pub may_cover_proc: bool,
}

/// Files of procfs that may be covered, as runc has them: those that lxcfs gives its own view of.
/// Anything else would change what the container, and whoever enters it, is told by the kernel.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// What is mounted.
#[derive(Debug)]
pub(crate) enum MountSource {
    /// Something of the host: a detached copy that has its attributes already.
    Bind { tree: OwnedFd, directory: bool },
    /// A new file system, made inside the container's namespaces.
    New(NewMount),
    /// The container's view of its control groups.
    Cgroup(Attributes),
    /// No new mount: what is there gets other attributes.
    Remount { attributes: Attributes, recursive: Attributes },
}

/// A file system to be made.
#[derive(Debug)]
pub(crate) struct NewMount {
    /// `tmpfs`, `proc`, ….
    pub kind: String,
    /// What mountinfo shows as its source, or the device.
    pub source: String,
    /// Options of the file system.
    pub options: Vec<String>,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Copy what the image has there into it.
    pub copy_up: bool,
}

/// By which user namespace the ids of a mount are mapped.
type Mapped<'a> = &'a mut dyn FnMut(&oci::runtime::Mount) -> Result<OwnedFd, Error>;

/// Reads all entries; opens the sources of bind mounts.
pub(super) fn plan(
    mounts: &[oci::runtime::Mount],
    bundle: &Path,
    mapped: Mapped<'_>,
) -> Result<Vec<MountPlan>, Error> {
    mounts.iter().map(|mount| one(mount, bundle, mapped)).collect()
}

fn one(mount: &oci::runtime::Mount, bundle: &Path, mapped: Mapped<'_>) -> Result<MountPlan, Error> {
    let member = || format!("mounts: {}", mount.destination);
    if mount.destination.is_empty() {
        return Err(Error::invalid(member(), "has no destination"));
    }
    let mut options = parse(&mount.options);
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        options.id_map.get_or_insert(Recursion::Single);
    }
    let destination = Path::new("/").join(&mount.destination);
    let kind = mount.kind.as_deref().unwrap_or_default();
    let source = match (kind, options.bind) {
        _ if options.remount => {
            MountSource::Remount { attributes: options.attributes, recursive: options.recursive }
        }
        (_, Some(recursion)) => bind(mount, &options, recursion, bundle, mapped)?,
        ("bind", None) => bind(mount, &options, Recursion::Recursive, bundle, mapped)?,
        _ if options.id_map.is_some() => {
            return Err(Error::unsupported(format!(
                "id mappings of {}, which is not bound",
                mount.destination
            )));
        }
        ("cgroup" | "cgroup2", None) => MountSource::Cgroup(options.attributes),
        ("" | "none", None) => return Err(Error::invalid(member(), "has no type")),
        (kind, None) => MountSource::New(NewMount {
            kind: kind.to_owned(),
            source: mount.source.clone().unwrap_or_else(|| kind.to_owned()),
            options: options.file_system,
            attributes: Attributes {
                propagation: options.propagation.map(|(propagation, _)| propagation),
                ..options.attributes
            },
            copy_up: options.copy_up,
        }),
    };
    let may_cover_proc = may_cover_proc(&destination, &source);
    if !may_cover_proc && destination.starts_with("/proc") {
        return Err(Error::invalid(member(), "cannot be mounted, because it is inside of /proc"));
    }
    Ok(MountPlan { destination, source, may_cover_proc })
}

/// Links of the image may lead a mount into `/proc` whose destination does not look like it: that is
/// found when it is carried out.
fn may_cover_proc(destination: &Path, source: &MountSource) -> bool {
    let is_procfs = match source {
        MountSource::Remount { .. } => return true,
        MountSource::New(new) => new.kind == "proc",
        MountSource::Bind { tree, .. } => linux::mount::is_procfs(tree.as_fd()),
        MountSource::Cgroup(_) => false,
    };
    let is_file = PROC_FILES.iter().any(|file| destination == Path::new(file));
    is_file || (is_procfs && destination == Path::new("/proc"))
}

fn bind(
    mount: &oci::runtime::Mount,
    options: &MountOptions,
    recursion: Recursion,
    bundle: &Path,
    mapped: Mapped<'_>,
) -> Result<MountSource, Error> {
    let member = || format!("mounts: {}", mount.destination);
    let source = mount.source.as_deref().filter(|source| !source.is_empty());
    let source = bundle.join(source.ok_or_else(|| Error::invalid(member(), "has no source"))?);
    if let Some(option) = options.file_system.first() {
        return Err(Error::invalid(member(), format!("a bind mount cannot have {option}")));
    }
    let is_recursive = recursion == Recursion::Recursive;
    let tree = match &options.beneath {
        Some(directory) => bind_beneath(directory, &source, is_recursive)?,
        None => linux::mount::bind(&source, is_recursive)?,
    };
    let status = rustix::fs::fstat(&tree)
        .map_err(|errno| linux::Error::new("look at", source.display(), errno))?;
    let (propagation, spread) =
        options.propagation.unwrap_or((Propagation::Private, Recursion::Recursive));
    let spread_alone = Attributes { propagation: Some(propagation), ..Attributes::default() };
    linux::mount::set_attributes(&tree, &spread_alone, spread == Recursion::Recursive)?;
    linux::mount::set_attributes(&tree, &options.recursive, true)?;
    linux::mount::set_attributes(&tree, &options.attributes, false)?;
    if let Some(recursion) = options.id_map {
        linux::mount::set_id_map(&tree, mapped(mount)?, recursion == Recursion::Recursive)?;
    }
    let directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    Ok(MountSource::Bind { tree, directory })
}

/// As [`linux::mount::bind`], of what is below this directory and nothing else.
fn bind_beneath(directory: &Path, source: &Path, recursive: bool) -> Result<OwnedFd, Error> {
    let inside = source.strip_prefix(directory).map_err(|_| {
        let reason = format!("is not below {}", directory.display());
        Error::invalid(format!("mounts: {}", source.display()), reason)
    })?;
    let found = Root::open(directory)?.locate(inside)?;
    Ok(linux::mount::clone_tree_of(&found, recursive)?)
}

#[cfg(test)]
mod tests {
    use super::{Error, MountPlan, MountSource};
    use oci::runtime::Mount;
    use std::path::Path;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        Mount {
            destination: "/x".to_owned(),
            kind: Some(kind.to_owned()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        }
    }

    fn one(mount: &Mount, bundle: &Path) -> Result<MountPlan, Error> {
        super::one(mount, bundle, &mut |_| Err(Error::unsupported("mapped ids")))
    }

    #[test]
    fn kinds() {
        let new = one(&mount("tmpfs", &["nosuid", "size=1k"]), Path::new("/")).unwrap();
        match new.source {
            MountSource::New(new) => assert_eq!(new.options, ["size=1k"]),
            other => panic!("{other:?}"),
        }
        let cgroup = one(&mount("cgroup", &["ro"]), Path::new("/")).unwrap();
        assert!(matches!(cgroup.source, MountSource::Cgroup(_)));
    }

    #[test]
    fn nothing_is_mounted_into_proc() {
        let at = |destination: &str, kind: &str, source: &str| {
            let destination = destination.to_owned();
            let source = Some(source.to_owned());
            let mount = Mount { destination, source, ..mount(kind, &[]) };
            one(&mount, Path::new("/")).is_ok()
        };
        assert!(at("/proc", "proc", "proc"));
        assert!(at("/proc", "bind", "/proc"));
        assert!(at("/proc/uptime", "bind", "/proc/uptime"));
        assert!(at("/process", "bind", "/tmp"));
        for destination in ["/proc", "/proc/", "/proc/./sys", "/proc/1", "/proc/self/attr"] {
            assert!(!at(destination, "bind", "/tmp"), "{destination}");
            assert!(!at(destination, "tmpfs", "tmpfs"), "{destination}");
        }
        assert!(!at("/proc/sys", "bind", "/proc/sys"));
    }

    #[test]
    fn wrong_entries() {
        for wrong in [mount("", &[]), mount("bind", &[]), mount("tmpfs", &["idmap"])] {
            assert!(one(&wrong, Path::new("/")).is_err(), "{wrong:?}");
        }
    }
}
