//! Which cgroup hierarchies this machine has.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode as FileMode, OFlags};

use crate::Error;

/// How a machine arranges its controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Version 1 only.
    Legacy,
    /// Version 1 for the controllers (or most), with a version 2 hierarchy beside it.
    Hybrid,
    /// Version 2 only.
    Unified,
}

/// The version of one hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// cgroup v1.
    V1,
    /// cgroup v2.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    /// Of this hierarchy.
    pub version: Version,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its controllers (`memory`, `cpu`, …), or `name=systemd` for a named v1 hierarchy without any.
    pub controllers: Vec<String>,
    root: OwnedFd,
}

impl Hierarchy {
    /// The hierarchy's root directory.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether this controller is here; v2's `io` also answers to v1's name, `blkio`.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        let is_io = self.version == Version::V2 && controller == "blkio";
        let wanted = if is_io { "io" } else { controller };
        self.controllers.iter().any(|name| name == wanted)
    }
}

/// All hierarchies of a machine.
#[derive(Debug)]
pub struct Layout {
    mode: Mode,
    hierarchies: Vec<Hierarchy>,
}

static DETECTED: OnceLock<Layout> = OnceLock::new();

impl Layout {
    /// The layout of this process's mount namespace, read from `/proc/self/mountinfo` by the first
    /// call and kept, with each root directory open (and close-on-exec), for the process's life.
    ///
    /// # Errors
    /// When mountinfo cannot be read, or no cgroup hierarchy is mounted.
    pub fn detect() -> Result<&'static Self, Error> {
        if let Some(layout) = DETECTED.get() {
            return Ok(layout);
        }
        let table = read_mountinfo()
            .map_err(|error| Error::from_io("read", "/proc/self/mountinfo", &error))?;
        let layout = Self::open(parse_mountinfo(&table))?;
        Ok(DETECTED.get_or_init(|| layout))
    }

    /// Version 1, 2 or both.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Each hierarchy once, in the order of mounting.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The hierarchy that has this controller.
    #[must_use]
    pub fn of(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// The version 2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    fn open(found: Vec<Found>) -> Result<Self, Error> {
        let mut hierarchies = Vec::new();
        for Found { version, mount_point, mut controllers } in found {
            let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
            let root =
                rustix::fs::open(&mount_point, flags, FileMode::empty()).map_err(|errno| {
                    Error::new("open cgroup hierarchy", mount_point.display(), errno)
                })?;
            if version == Version::V2 {
                controllers = v2_controllers(&mount_point)?;
            }
            hierarchies.push(Hierarchy { version, mount_point, controllers, root });
        }
        let any = |version| hierarchies.iter().any(|each: &Hierarchy| each.version == version);
        let mode = match (any(Version::V1), any(Version::V2)) {
            (true, true) => Mode::Hybrid,
            (true, false) => Mode::Legacy,
            (false, true) => Mode::Unified,
            (false, false) => {
                return Err(Error::new("find", "a cgroup hierarchy", rustix::io::Errno::NOENT));
            }
        };
        Ok(Self { mode, hierarchies })
    }
}

/// In as few pieces as can be: files of procfs do not say how long they are.
fn read_mountinfo() -> std::io::Result<String> {
    let mut table = String::with_capacity(16 * 1024);
    File::open("/proc/self/mountinfo")?.read_to_string(&mut table)?;
    Ok(table)
}

fn v2_controllers(mount_point: &Path) -> Result<Vec<String>, Error> {
    let path = mount_point.join("cgroup.controllers");
    let text = File::open(&path)
        .and_then(std::io::read_to_string)
        .map_err(|error| Error::from_io("read", path.display(), &error))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    version: Version,
    mount_point: PathBuf,
    controllers: Vec<String>,
}

/// The hierarchies in a mountinfo table (proc(5)). A hierarchy mounted twice counts once, at the
/// mount that shows its root; one mounted with a sub-directory as root only is left out, because
/// absolute paths would not mean what they say.
fn parse_mountinfo(table: &str) -> Vec<Found> {
    let mut all: Vec<(String, Found)> = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - cgroup") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(&device), Some(&"/"), Some(&point)) = (left.get(2), left.get(3), left.get(4))
        else {
            continue;
        };
        let Some(&kind) = right.first() else { continue };
        let found = match kind {
            "2" => Found {
                version: Version::V2,
                mount_point: unescape(point).into(),
                controllers: Vec::new(),
            },
            "" => Found {
                version: Version::V1,
                mount_point: unescape(point).into(),
                controllers: v1_controllers(right.get(2).copied().unwrap_or_default()),
            },
            _ => continue,
        };
        if !all.iter().any(|(known, _)| known == device) {
            all.push((device.to_owned(), found));
        }
    }
    all.into_iter().map(|(_, found)| found).collect()
}

/// The controllers among a v1 mount's super options; everything that is no option is one.
fn v1_controllers(options: &str) -> Vec<String> {
    let flags =
        ["rw", "ro", "clone_children", "xattr", "noprefix", "all", "none", "cpuset_v2_mode"];
    let is_controller = |name: &&str| !flags.contains(name) && !name.starts_with("release_agent=");
    options.split(',').filter(is_controller).map(str::to_owned).collect()
}

/// Undoes mountinfo's octal escapes (`\040` for a space).
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Version, parse_mountinfo, unescape};

    #[test]
    fn hybrid_table() {
        let table = "\
25 20 0:21 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
26 25 0:22 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:23 / /sys/fs/cgroup/systemd rw,relatime - cgroup systemd rw,xattr,release_agent=/x,name=systemd
28 25 0:24 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
29 25 0:22 / /mnt/again rw,relatime - cgroup cgroup rw,cpu,cpuacct
30 25 0:29 /docker/x /mnt/part rw,relatime - cgroup cgroup rw,pids
";
        let found = parse_mountinfo(table);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[1].controllers, ["name=systemd"]);
        assert_eq!(found[2].version, Version::V2);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("/a\\040b\\134c\\9"), "/a b\\c\\9");
    }
}
