//! Whether the mounts of a restored container are those of its configuration: what covers what, and
//! with which restrictions.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::path::{FileType, Root};
use oci::runtime::{Linux, Mount, Spec};
use rustix::fs::{StatVfsMountFlags, fstat, fstatvfs, major, minor};

use super::external;
use super::judge::Reason;
use crate::plan::{MountPlan, MountSource, Plan};

/// All of them, as the process sees them.
pub(super) fn all(spec: &Spec, plan: &Plan, pid: i32, is_admin: bool) -> Result<(), Reason> {
    let chain = |error: linux::Error| stdx::chain(&error);
    let root = Root::open(Path::new(&format!("/proc/{pid}/root"))).map_err(chain)?;
    let look = |file: &OwnedFd| fstat(file).map_err(|errno| errno.to_string());
    let (own, wanted) = (look(&root.locate(Path::new("/")).map_err(chain)?)?, look(&plan.rootfs)?);
    if (own.st_dev, own.st_ino) != (wanted.st_dev, wanted.st_ino) {
        return Err("its root is not the configured one".to_owned());
    }
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"))
        .map_err(|error| format!("read its mounts: {error}"))?;
    let mounts: Vec<Entry<'_>> = table.lines().filter_map(Entry::parse).collect();
    if plan.rootfs_read_only {
        read_only(Path::new("/"), &root)?;
    }
    // Of those with one destination the last is seen.
    for (index, mount) in spec.mounts.iter().enumerate() {
        let is_seen = !spec
            .mounts
            .iter()
            .skip(index + 1)
            .any(|later| Path::new(&mount.destination).starts_with(&later.destination));
        if let (true, Some(planned)) = (is_seen, plan.mounts.get(index)) {
            configured(mount, planned, &root, &mounts)?;
        }
    }
    for path in &plan.read_only_paths {
        read_only(path, &root)?;
    }
    for path in &plan.masked_paths {
        masked(path, &root)?;
    }
    // Who may mount has perhaps done so before the checkpoint.
    if is_admin { Ok(()) } else { none_else(spec, plan, &mounts) }
}

/// One line of mountinfo (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    place: &'a str,
    kind: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        Some(Self { place: before.split(' ').nth(4)?, kind: after.split(' ').next()? })
    }
}

const RESTRICTIONS: [(&str, &str, StatVfsMountFlags); 4] = [
    ("ro", "rw", StatVfsMountFlags::RDONLY),
    ("nosuid", "suid", StatVfsMountFlags::NOSUID),
    ("nodev", "dev", StatVfsMountFlags::NODEV),
    ("noexec", "exec", StatVfsMountFlags::NOEXEC),
];

/// One of the configuration's.
fn configured(
    mount: &Mount,
    planned: &MountPlan,
    root: &Root,
    mounts: &[Entry<'_>],
) -> Result<(), Reason> {
    let destination = &mount.destination;
    let found =
        root.find(&Path::new("/").join(destination)).map_err(|error| stdx::chain(&error))?;
    let found = found.ok_or_else(|| format!("{destination}: there is nothing"))?;
    match &planned.source {
        MountSource::Bind { tree, .. } => {
            let look = |file: &OwnedFd| fstat(file).map_err(|errno| errno.to_string());
            let (here, wanted) = (look(&found)?, look(tree)?);
            if (here.st_dev, here.st_ino) != (wanted.st_dev, wanted.st_ino) {
                return Err(format!("{destination}: it is not what is bound there"));
            }
        }
        MountSource::New(new) => {
            let mut here = mounts.iter().filter(|entry| entry.place == destination);
            if let Some(entry) = here.find(|entry| entry.kind != new.kind) {
                return Err(format!("{destination}: it is a {}, not a {}", entry.kind, new.kind));
            }
        }
        MountSource::Cgroup(_) | MountSource::Remount { .. } => {}
    }
    let status = fstatvfs(&found).map_err(|errno| format!("{destination}: {errno}"))?;
    for (word, opposite, flag) in RESTRICTIONS {
        if restricts(&mount.options, word, opposite) && !status.f_flag.contains(flag) {
            return Err(format!("{destination}: it is not mounted {word}"));
        }
    }
    Ok(())
}

/// The last word counts.
fn restricts(options: &[String], word: &str, opposite: &str) -> bool {
    let mut words = options.iter().rev();
    words.find(|option| *option == word || *option == opposite).is_some_and(|found| found == word)
}

fn find(path: &Path, root: &Root) -> Result<Option<OwnedFd>, Reason> {
    root.find(path).map_err(|error| stdx::chain(&error))
}

fn read_only(path: &Path, root: &Root) -> Result<(), Reason> {
    let Some(found) = find(path, root)? else { return Ok(()) };
    let status = fstatvfs(&found).map_err(|errno| format!("{}: {errno}", path.display()))?;
    if status.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    Err(format!("{}: it is not read-only", path.display()))
}

/// By the null device, or by an empty directory that cannot be written.
fn masked(path: &Path, root: &Root) -> Result<(), Reason> {
    let Some(found) = find(path, root)? else { return Ok(()) };
    let status = fstat(&found).map_err(|errno| format!("{}: {errno}", path.display()))?;
    let is_covered = match FileType::from_raw_mode(status.st_mode) {
        FileType::CharacterDevice => (major(status.st_rdev), minor(status.st_rdev)) == (1, 3),
        FileType::Directory => {
            read_only(path, root)?;
            is_empty(path, root)?
        }
        _ => false,
    };
    if is_covered { Ok(()) } else { Err(format!("{}: it is not masked", path.display())) }
}

fn is_empty(path: &Path, root: &Root) -> Result<bool, Reason> {
    use linux::path::OFlags;
    let directory = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY);
    let directory = directory.map_err(|error| stdx::chain(&error))?;
    let entries = rustix::fs::Dir::read_from(&directory).map_err(|errno| errno.to_string())?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_bytes().to_vec());
    Ok(names.all(|name| name == b"." || name == b".."))
}

/// Mounts that nobody has configured.
fn none_else(spec: &Spec, plan: &Plan, mounts: &[Entry<'_>]) -> Result<(), Reason> {
    let chain = |error: crate::Error| stdx::chain(&error);
    let copy = crate::copy_of(&plan.rootfs).map_err(|error| stdx::chain(&error))?;
    let image = Root::from_fd(copy);
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let mut known: BTreeSet<PathBuf> = ["/", "/dev/console"].map(PathBuf::from).into();
    let paths = linux.masked_paths.iter().chain(&linux.readonly_paths);
    let destinations = spec.mounts.iter().map(|mount| &mount.destination);
    for path in paths.chain(destinations) {
        known.insert(Path::new("/").join(path));
        known.insert(external::place_of(path, &image).map_err(chain)?);
    }
    let groups = spec.mounts.iter().filter(|mount| mount.kind.as_deref() == Some("cgroup"));
    let groups: Vec<&String> = groups.map(|mount| &mount.destination).collect();
    let is_known = |entry: &&Entry<'_>| {
        let place = Path::new(entry.place);
        known.contains(place)
            || entry.kind == "cgroup" && groups.iter().any(|group| place.starts_with(group))
    };
    match mounts.iter().find(|entry| !is_known(entry)) {
        Some(entry) => Err(format!("{}: nobody has configured a mount there", entry.place)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, masked, read_only, restricts};
    use linux::path::Root;
    use std::path::Path;

    #[test]
    fn lines_of_mountinfo() {
        let line = "36 35 98:0 /a /dev/shm rw,noatime master:1 - tmpfs shm rw,errors=continue";
        assert_eq!(Entry::parse(line), Some(Entry { place: "/dev/shm", kind: "tmpfs" }));
        assert_eq!(Entry::parse("36 35"), None);
    }

    #[test]
    fn the_last_word_counts() {
        let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert!(restricts(&words("rbind,rw,ro"), "ro", "rw"));
        assert!(!restricts(&words("ro,rw"), "ro", "rw"));
        assert!(!restricts(&words("bind"), "ro", "rw"));
    }

    #[test]
    fn what_is_open_is_seen() {
        let root = Root::open(Path::new("/")).unwrap();
        assert_eq!(masked(Path::new("/dev/null"), &root), Ok(()));
        assert_eq!(masked(Path::new("/none"), &root), Ok(()));
        assert!(masked(Path::new("/proc/version"), &root).is_err());
        assert!(masked(Path::new("/tmp"), &root).is_err());
        assert!(read_only(Path::new("/tmp"), &root).is_err());
    }
}
