//! One control group in every hierarchy.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::Pid;

use super::device_filter;
use super::{Hierarchy, Layout, Limits, OomWatch, Usage, Version, file, limits, removal, usage};
use super::{freezer, v1, v2};
use crate::Error;
use crate::process::SingleThreaded;

/// One path, as an open directory in each hierarchy.
///
/// Dropping it closes the directories and leaves the group; [`Group::delete`] removes it.
#[derive(Debug)]
pub struct Group {
    path: String,
    layout: &'static Layout,
    places: Vec<Place>,
}

/// Opened by [`Group::entrance`]; the doors may be handed to the process that is to pass.
#[derive(Debug, Default)]
pub struct Entrance {
    doors: Vec<OwnedFd>,
}

impl Entrance {
    /// From doors that another process has opened.
    #[must_use]
    pub fn from_doors(doors: Vec<OwnedFd>) -> Self {
        Self { doors }
    }

    /// One descriptor for each hierarchy.
    #[must_use]
    pub fn doors(&self) -> &[OwnedFd] {
        &self.doors
    }

    /// Moves the calling process. Its only thread moves itself: for that the kernel need not stop the
    /// world, and so does it in microseconds (`kernel/cgroup/cgroup.c`, `cgroup_procs_write_start`).
    ///
    /// # Errors
    /// What the kernel says; `EACCES` when not the host's root has opened them.
    pub fn pass(&self, _token: &SingleThreaded) -> Result<(), Error> {
        self.doors.iter().try_for_each(|door| file::write_open(door, "tasks", "0"))
    }
}

/// The group in one hierarchy.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) hierarchy: &'static Hierarchy,
    pub(super) directory: OwnedFd,
    /// Whether it was made here, and not there before.
    is_new: bool,
}

impl Place {
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Group {
    /// Makes the group in every hierarchy, with missing parents.
    ///
    /// # Errors
    /// `InvalidInput` when `path` is not absolute or has `..`; `Conflict` when the group exists and
    /// has processes; otherwise what the kernel says. What this call had made is then removed.
    pub fn create(layout: &'static Layout, path: &str) -> Result<Self, Error> {
        let mut group = Self::create_unified(layout, path)?;
        match group.complete() {
            Ok(()) => Ok(group),
            Err(error) => {
                group.undo();
                Err(error)
            }
        }
    }

    /// Makes the group in the v2 hierarchy only, if there is one: what a process needs to be born in
    /// it. [`Group::complete`] makes the rest.
    ///
    /// # Errors
    /// As [`Group::create`].
    pub fn create_unified(layout: &'static Layout, path: &str) -> Result<Self, Error> {
        relative(path)?;
        let mut group = Self { path: path.to_owned(), layout, places: Vec::new() };
        match layout.unified().map_or(Ok(()), |hierarchy| group.make_in(hierarchy)) {
            Ok(()) => Ok(group),
            Err(error) => {
                group.undo();
                Err(error)
            }
        }
    }

    /// Makes the group in the v1 hierarchies, after [`Group::create_unified`].
    ///
    /// # Errors
    /// As [`Group::create`], but what was made stays until [`Group::undo`].
    pub fn complete(&mut self) -> Result<(), Error> {
        let layout = self.layout;
        let hierarchies = layout.hierarchies().iter();
        hierarchies
            .filter(|hierarchy| hierarchy.version == Version::V1)
            .try_for_each(|hierarchy| self.make_in(hierarchy))
    }

    /// Removes the group from those hierarchies in which making it was our doing, as
    /// [`Group::delete`] does.
    pub fn undo(&mut self) {
        for place in self.places.drain(..).filter(|place| place.is_new) {
            // Called after an error, which tells more.
            drop(removal::remove(&place, self.path.trim_matches('/')));
        }
    }

    fn make_in(&mut self, hierarchy: &'static Hierarchy) -> Result<(), Error> {
        let (directory, is_new) = make(self.layout, hierarchy, self.relative())?;
        self.places.push(Place { hierarchy, directory, is_new });
        if is_new { Ok(()) } else { must_be_empty(self.places.last(), &self.path) }
    }

    /// Opens a group that exists; hierarchies that lack it are left out.
    ///
    /// # Errors
    /// `NotFound` when no hierarchy has it.
    pub fn open(layout: &'static Layout, path: &str) -> Result<Self, Error> {
        let relative = relative(path)?;
        let mut places = Vec::new();
        for hierarchy in layout.hierarchies() {
            match open_directory(hierarchy, relative) {
                Ok(directory) => places.push(Place { hierarchy, directory, is_new: false }),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::new("open cgroup", path, errno)),
            }
        }
        if places.is_empty() {
            return Err(Error::new("open cgroup", path, Errno::NOENT));
        }
        Ok(Self { path: path.to_owned(), layout, places })
    }

    /// The path as given.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Writes the limits that are set; a limit whose controller is missing here is an error.
    ///
    /// # Errors
    /// `Unsupported` for what this machine's cgroups cannot do, otherwise what the kernel says of
    /// the value.
    pub fn apply(&self, limits: &Limits) -> Result<(), Error> {
        for controller in limits::controllers(limits) {
            let Some(place) = self.place(controller) else {
                // Version 2 has no controller for devices; a program takes its place.
                if let ("devices", Some(group)) = (controller, self.v2_dirfd()) {
                    device_filter::attach(group, &limits.devices)?;
                    continue;
                }
                return Err(Error::new("find the cgroup controller", controller, Errno::OPNOTSUPP));
            };
            match place.hierarchy.version {
                Version::V1 => v1::apply(place.directory(), controller, limits)?,
                Version::V2 => {
                    v2::enable(place, self.relative(), controller)?;
                    v2::apply(place.directory(), controller, limits)?;
                }
            }
        }
        if limits.unified.is_empty() {
            return Ok(());
        }
        let unified = self.places.iter().find(|place| place.hierarchy.version == Version::V2);
        let Some(place) = unified else {
            return Err(Error::new("find", "a cgroup v2 hierarchy", Errno::OPNOTSUPP));
        };
        v2::apply_unified(place, self.relative(), &limits.unified)
    }

    /// What a file of the group in the v2 hierarchy says; `None` where there is no such file.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.unified().map_or(Ok(None), |place| file::read_optional(place.directory(), name))
    }

    /// Hands the group of the v2 hierarchy over to a user, who can then make groups below it and move
    /// its processes among them (cgroup-v2.rst, "Model of Delegation").
    ///
    /// # Errors
    /// What the kernel says.
    pub fn hand_over(&self, user: u32, group: u32) -> Result<(), Error> {
        const FILES: &str = "/sys/kernel/cgroup/delegate";
        let Some(place) = self.unified() else { return Ok(()) };
        let files = std::fs::read_to_string(FILES)
            .map_err(|error| Error::from_io("read", FILES, &error))?;
        for name in ["."].into_iter().chain(files.lines()) {
            let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::chownat(place.directory(), name, owner.0, owner.1, flags) {
                // Of a controller that the group does not have.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::new("hand over cgroup file", name, errno)),
            }
        }
        Ok(())
    }

    /// Moves a process (all its threads) into the group, in every hierarchy.
    ///
    /// The kernel keeps all processes from forking and ending meanwhile, for which it first waits
    /// some 10 ms (an RCU grace period): a process that can should rather be born in its v2 group
    /// (`CLONE_INTO_CGROUP` with [`Group::v2_dirfd`]) and pass its [`Group::entrance`] itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&self, pid: Pid) -> Result<(), Error> {
        let pid = pid.as_raw_nonzero().to_string();
        self.places
            .iter()
            .try_for_each(|place| file::write(place.directory(), "cgroup.procs", &pid))
    }

    /// As [`Group::add`], but not in the v2 hierarchy, where `CLONE_INTO_CGROUP` with
    /// [`Group::v2_dirfd`] has put the process already.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_v1(&self, pid: Pid) -> Result<(), Error> {
        let pid = pid.as_raw_nonzero().to_string();
        self.v1().try_for_each(|place| file::write(place.directory(), "cgroup.procs", &pid))
    }

    /// The way into the group in every v1 hierarchy, for a process that goes there by itself.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn entrance(&self) -> Result<Entrance, Error> {
        let open = |place: &Place| file::open(place.directory(), "tasks", OFlags::WRONLY);
        Ok(Entrance { doors: self.v1().map(open).collect::<Result<_, _>>()? })
    }

    fn v1(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.hierarchy.version == Version::V1)
    }

    /// The directory in the v2 hierarchy, for `CLONE_INTO_CGROUP`.
    #[must_use]
    pub fn v2_dirfd(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(Place::directory)
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// When a file that should be there cannot be read.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut usage = Usage::default();
        for place in &self.places {
            usage::read(place, &mut usage)?;
        }
        Ok(usage)
    }

    /// The processes of the group and the groups below it, each once.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn processes(&self) -> Result<Vec<Pid>, Error> {
        let mut processes = Vec::new();
        let counted = self.unified().or_else(|| self.place("pids")).or(self.places.first());
        if let Some(place) = counted {
            removal::processes_below(place.directory(), &mut processes)?;
        }
        processes.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        processes.dedup();
        Ok(processes)
    }

    /// Stops all processes and waits until the kernel says that they have stopped.
    ///
    /// # Errors
    /// `Unsupported` without freezer and v2 hierarchy; a time-out when they do not stop in 10 s
    /// (the group is then thawed).
    pub fn freeze(&self) -> Result<(), Error> {
        freezer::set(self, true)
    }

    /// Lets frozen processes go on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn thaw(&self) -> Result<(), Error> {
        freezer::set(self, false)
    }

    /// Whether the group is frozen.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        freezer::is_frozen(self)
    }

    /// Kills every process in the group and below: at once by `cgroup.kill` where there is a v2
    /// hierarchy, otherwise by freezing, signalling and thawing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&self) -> Result<(), Error> {
        freezer::kill(self)
    }

    /// Removes the group and all below it from every hierarchy, going on after an error.
    ///
    /// A dying process keeps a group busy for a moment: waits for it, 2 s at most.
    ///
    /// # Errors
    /// The first error, after all have been tried.
    pub fn delete(&self) -> Result<(), Error> {
        let relative = self.relative();
        let mut first = Ok(());
        for place in &self.places {
            let result = removal::remove(place, relative);
            first = first.and(result);
        }
        first
    }

    /// A descriptor that becomes readable when a process of the group is killed for memory.
    ///
    /// # Errors
    /// `Unsupported` without memory controller.
    pub fn oom_events(&self) -> Result<OomWatch, Error> {
        let Some(place) = self.place("memory") else {
            return Err(Error::new("find the cgroup controller", "memory", Errno::OPNOTSUPP));
        };
        OomWatch::new(place.directory(), place.hierarchy.version)
    }

    pub(super) fn unified(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.hierarchy.version == Version::V2)
    }

    pub(super) fn place(&self, controller: &str) -> Option<&Place> {
        let hierarchy = self.layout.of(controller)?;
        self.places.iter().find(|place| std::ptr::eq(place.hierarchy, hierarchy))
    }

    fn relative(&self) -> &str {
        self.path.trim_matches('/')
    }
}

/// The path below a hierarchy's root.
fn relative(path: &str) -> Result<&str, Error> {
    let relative = path.trim_matches('/');
    let is_plain = |name: &str| !matches!(name, "" | "." | "..");
    if path.starts_with('/') && relative.split('/').all(is_plain) {
        return Ok(relative);
    }
    Err(Error::new("use the cgroup path", format_args!("{path:?}"), Errno::INVAL))
}

/// The groups above one, the highest first.
pub(super) fn ancestors(relative: &str) -> impl Iterator<Item = &str> {
    relative.match_indices('/').filter_map(|(end, _)| relative.get(..end))
}

/// Makes the group in one hierarchy; the flag says whether it is new.
fn make(layout: &Layout, hierarchy: &Hierarchy, relative: &str) -> Result<(OwnedFd, bool), Error> {
    let refuse = |errno| Error::new("create cgroup", in_hierarchy(hierarchy, relative), errno);
    let is_new = match make_directory(hierarchy, relative) {
        Ok(is_new) => is_new,
        Err(Errno::NOENT) => {
            for above in ancestors(relative) {
                make_directory(hierarchy, above).map_err(refuse)?;
            }
            make_directory(hierarchy, relative).map_err(refuse)?
        }
        Err(errno) => return Err(refuse(errno)),
    };
    match make_usable(layout, hierarchy, relative) {
        Ok(directory) => Ok((directory, is_new)),
        Err(error) => {
            if is_new {
                // Nobody can be in it yet. The first error tells more.
                _ = rustix::fs::unlinkat(hierarchy.root(), relative, AtFlags::REMOVEDIR);
            }
            Err(error)
        }
    }
}

/// What a group that is there wants before it takes a process.
fn make_usable(layout: &Layout, hierarchy: &Hierarchy, relative: &str) -> Result<OwnedFd, Error> {
    let directory = open_directory(hierarchy, relative)
        .map_err(|errno| Error::new("open cgroup", in_hierarchy(hierarchy, relative), errno))?;
    if hierarchy.version == Version::V1 && hierarchy.has("cpuset") {
        v1::inherit_cpuset(hierarchy, directory.as_fd(), relative)?;
    }
    if layout.mode() == super::Mode::Unified {
        v2::enable_all(hierarchy, directory.as_fd(), relative)?;
    }
    Ok(directory)
}

fn make_directory(hierarchy: &Hierarchy, relative: &str) -> Result<bool, Errno> {
    match rustix::fs::mkdirat(hierarchy.root(), relative, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

pub(super) fn open_directory(hierarchy: &Hierarchy, relative: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(hierarchy.root(), relative, flags, Mode::empty())
}

pub(super) fn in_hierarchy(hierarchy: &Hierarchy, relative: &str) -> String {
    format!("/{relative} of {}", hierarchy.mount_point.display())
}

fn must_be_empty(place: Option<&Place>, path: &str) -> Result<(), Error> {
    let Some(place) = place else { return Ok(()) };
    let mut processes = Vec::new();
    removal::processes_below(place.directory(), &mut processes)?;
    if processes.is_empty() {
        return Ok(());
    }
    let object = format!("{path}: it has {} processes already", processes.len());
    Err(Error::new("create cgroup", object, Errno::BUSY))
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[test]
    fn only_plain_absolute_paths() {
        assert_eq!(relative("/brig-1/a").unwrap(), "brig-1/a");
        for path in ["", "/", "a/b", "/a/../b", "/a//b", "/./a"] {
            assert!(relative(path).is_err(), "{path}");
        }
    }
}
