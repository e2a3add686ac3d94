//! Files into and out of containers, as archives.
//!
//! A path of a container's is resolved by the kernel inside of its root and never seen as one of the
//! host's (CVE-2018-15664); nothing of the container's is run or loaded (CVE-2019-14271,
//! CVE-2026-41567). Of one that runs it is the root that its process has, with all that is mounted
//! there; one that does not is mounted for the occasion, with its volumes, where nobody else sees it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use linux::mount::Attributes;
use linux::path::{FileType, OFlags, Root};
use linux::process::{Pid, PidFd};
use storage::{ArchiveError, Placing};
use tokio::sync::oneshot;

use super::entry::Container;
use super::{Containers, Shared, prepare, start};
use crate::container::record::{PlannedMount, Record};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms::{self, Rooms};

/// More links than this in one path lead nowhere.
const MAX_LINKS: usize = 40;

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of the path that was asked for; `/` for the root.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Kind and permissions, as stat(2) has them.
    pub mode: u32,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Where a symbolic link leads in the end, in the container; empty for everything else.
    pub link_target: String,
}

/// How an archive is put into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// No directory becomes something else, and nothing else a directory.
    pub keep_directories: bool,
    /// Everything belongs to the container's user.
    pub own: bool,
}

impl Containers {
    /// What is at a path; a link at its end is not followed.
    ///
    /// # Errors
    /// `NoSuchContainer`, `NoSuchPath`.
    pub async fn stat_path(&self, name: &str, path: &str) -> Result<PathStat> {
        let path = path.to_owned();
        let container = self.shared.table.find(name)?;
        on_tree(&self.shared, &container, move |tree| Ok(Source::find(tree, &path)?.stat)).await
    }

    /// Writes what is at a path as an archive, and tells what it is before.
    ///
    /// # Errors
    /// As [`Containers::stat_path`], before anything was told.
    pub async fn copy_out(
        &self,
        name: &str,
        path: &str,
        found: oneshot::Sender<PathStat>,
        mut output: impl Write + Send + 'static,
    ) -> Result<()> {
        let path = path.to_owned();
        let container = self.shared.table.find(name)?;
        let copied = on_tree(&self.shared, &container, move |tree| {
            let source = Source::find(tree, &path)?;
            let called = match source.stat.name.as_str() {
                "/" => Path::new("."),
                name => Path::new(name),
            };
            drop(found.send(source.stat.clone()));
            storage::pack(source.parent.as_fd(), source.name.as_ref(), called, &mut output)
                .and_then(|()| output.flush().map_err(|source| ArchiveError::Read { source }))
                .map_err(|error| tree.failed("copy", &path, error))
        });
        copied.await?;
        self.shared.publish(&container, Action::ArchivePath, &[]);
        Ok(())
    }

    /// Puts the entries of an archive, compressed or not, into a directory.
    ///
    /// # Errors
    /// As [`Containers::stat_path`]; `Invalid` for what is no directory and for archives that are
    /// none; `Forbidden` where nothing may be written.
    pub async fn copy_in(
        &self,
        name: &str,
        path: &str,
        mut input: impl Read + Send + 'static,
        options: CopyOptions,
    ) -> Result<()> {
        let path = path.to_owned();
        let container = self.shared.table.find(name)?;
        let copied = on_tree(&self.shared, &container, move |tree| {
            let directory = absolute(&path);
            let status =
                tree.root.metadata(&directory).map_err(|error| tree.missing(&path, error))?;
            if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
                return Err(Error::Invalid("extraction point is not a directory".to_owned()));
            }
            let how = Placing {
                keeps_directories: options.keep_directories,
                owner: if options.own { Some(tree.owner()?) } else { None },
            };
            let result = storage::decompressed(&mut input)
                .and_then(|archive| storage::place(&tree.root, &directory, archive, how));
            result.map_err(|error| tree.failed("extract to", &path, error))
        });
        copied.await?;
        self.shared.publish(&container, Action::ExtractToDir, &[]);
        Ok(())
    }
}

/// A container's files while something is done with them.
struct Tree {
    root: Root,
    record: Record,
}

impl Tree {
    fn missing(&self, path: &str, error: linux::Error) -> Error {
        if !error.is_nowhere() {
            return rooms::kernel("look at", path, error);
        }
        Error::NoSuchPath { path: path.to_owned(), container: self.record.name.clone() }
    }

    fn failed(&self, operation: &'static str, path: &str, error: ArchiveError) -> Error {
        if error.is_read_only() {
            let what = if self.record.spec.host.security.read_only_root {
                "container rootfs"
            } else {
                "mounted volume"
            };
            return Error::Forbidden(format!("{what} is marked read-only"));
        }
        match error {
            ArchiveError::Write { .. } | ArchiveError::NoSpace => {
                Error::failed(operation, path, stdx::ErrorKind::Internal, error)
            }
            _ => Error::Invalid(stdx::chain(&error)),
        }
    }

    /// The container's user, by its own accounts.
    fn owner(&self) -> Result<(u32, u32)> {
        let spec = &self.record.spec;
        let user = spec.user.as_deref().unwrap_or_default();
        let identity = prepare::identity_of(user, spec, &prepare::read_accounts(&self.root))?;
        Ok((identity.uid, identity.gid))
    }
}

/// Something in a container's tree: its directory, open, and its name there.
struct Source {
    parent: Root,
    name: String,
    stat: PathStat,
}

impl Source {
    fn find(tree: &Tree, asked: &str) -> Result<Self> {
        let whole = absolute(asked);
        let is_directory = asked.ends_with('/') || asked.ends_with("/.") || asked == ".";
        let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
        let missing = |error| tree.missing(asked, error);
        let (parent, own) = match &name {
            Some(name) if !is_directory => (whole.parent().unwrap_or(Path::new("/")), name.clone()),
            _ => (whole.as_path(), ".".to_owned()),
        };
        let parent = tree.root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY);
        let parent = Root::from_fd(parent.map_err(missing)?);
        let status = parent.metadata_itself(Path::new(&own)).map_err(missing)?;
        let stat = PathStat {
            name: name.unwrap_or_else(|| "/".to_owned()),
            size: u64::try_from(status.st_size).unwrap_or(0),
            mode: status.st_mode,
            modified: Timestamp::new(
                status.st_mtime,
                i32::try_from(status.st_mtime_nsec).unwrap_or(0),
            )
            .unwrap_or_default(),
            link_target: match FileType::from_raw_mode(status.st_mode) {
                FileType::Symlink => evaluated(&tree.root, &whole),
                _ => String::new(),
            },
        };
        Ok(Self { parent, name: own, stat })
    }
}

/// From the root, without `.` and `..`: what climbs higher stays at the root.
fn absolute(path: &str) -> PathBuf {
    let mut whole = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::Normal(name) => whole.push(name),
            _ => {}
        }
    }
    whole
}

/// Where links lead, for whoever asks; nothing is opened by it.
fn evaluated(root: &Root, path: &Path) -> String {
    let mut found = PathBuf::from("/");
    let mut left: Vec<PathBuf> = path.iter().skip(1).map(PathBuf::from).collect();
    left.reverse();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            found.pop();
            continue;
        }
        let next = found.join(&part);
        match root.read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    found = PathBuf::from("/");
                }
                let parts = target.components().filter_map(|part| match part {
                    Component::Normal(name) => Some(PathBuf::from(name)),
                    Component::ParentDir => Some(PathBuf::from("..")),
                    _ => None,
                });
                let parts: Vec<PathBuf> = parts.collect();
                left.extend(parts.into_iter().rev());
            }
            _ => found = next,
        }
    }
    found.to_string_lossy().into_owned()
}

/// Does something with a container's files. One that does not run does not begin meanwhile.
async fn on_tree<T: Send + 'static>(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    work: impl FnOnce(&Tree) -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Some(live) = container.live() {
        let record = container.read(|state| state.record.clone());
        let of_process =
            move |_: &Arc<Rooms>| work(&Tree { root: root_of(live.pid, &record)?, record });
        return aside(shared, of_process).await;
    }
    let _turn = container.operation.lock().await;
    if container.live().is_some() {
        return Err(Error::Conflict(format!("container {} has just been started", container.id)));
    }
    let record = container.read(|state| state.record.clone());
    let mounted = move |rooms: &Arc<Rooms>| {
        let result = linux::process::with_own_mounts(|| {
            work(&Tree { root: mount(rooms, &record)?, record: record.clone() })
        });
        result.map_err(|error| rooms::kernel("mount the files of", &record.name, error))?
    };
    aside(shared, mounted).await
}

/// A client may take as long as it likes to send or to receive.
async fn aside<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Rooms>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    let rooms = Arc::clone(&shared.rooms);
    // Whoever asked may be gone by the time that it is done.
    shared.rooms.aside("copy", move || drop(sender.send(work(&rooms))))?;
    let panicked = |error| {
        let what = "files of a container";
        Error::failed("copy", what, stdx::ErrorKind::Internal, error)
    };
    receiver.await.map_err(panicked)?
}

/// The root of a process, with all that is mounted there.
fn root_of(pid: u32, record: &Record) -> Result<Root> {
    let fail = |error| rooms::kernel("open the root of", &record.name, error);
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| Error::Conflict(format!("{} has ended", record.name)))?;
    let process = PidFd::open(number).map_err(fail)?;
    let root = Root::open(Path::new(&format!("/proc/{pid}/root"))).map_err(fail)?;
    // The number could have come to mean another process; the descriptor cannot.
    process.signal(0).map_err(fail)?;
    Ok(root)
}

/// Mounts the files of a container that does not run, as it would have them: only tmpfs are missing.
fn mount(rooms: &Rooms, record: &Record) -> Result<Root> {
    let fail = |error| rooms::kernel("mount the files of", &record.name, error);
    // Where it was mounted `volatile`, it may be mounted again.
    let _mountable = start::root(rooms, record)?;
    let overlay = rooms.store.snapshots().writable_view(&record.id);
    let overlay =
        overlay.map_err(|error| rooms::storage("mount the files of", &record.name, error))?;
    let place = Root::open(Path::new("/")).map_err(fail)?;
    linux::mount::attach(&overlay, &place).map_err(fail)?;
    let root = Root::from_fd(overlay);
    for mount in record.mounts.iter().filter(|mount| mount.is_bind()) {
        attach(&root, mount).map_err(fail)?;
    }
    if record.spec.host.security.read_only_root {
        linux::mount::set_attributes(&root, &Attributes::READ_ONLY, false).map_err(fail)?;
    }
    Ok(root)
}

fn attach(root: &Root, mount: &PlannedMount) -> std::result::Result<(), linux::Error> {
    let source = Path::new(&mount.point.source);
    let recursive = !mount.non_recursive;
    let tree = match &mount.beneath {
        Some(directory) => {
            let inside = source.strip_prefix(directory).unwrap_or(Path::new("."));
            let found = Root::open(Path::new(directory))?.locate(inside)?;
            linux::mount::clone_tree_of(&found, recursive)?
        }
        None => linux::mount::bind(source, recursive)?,
    };
    if !mount.point.writable {
        linux::mount::set_attributes(&tree, &Attributes::READ_ONLY, recursive)?;
    }
    let target = Path::new(&mount.point.target);
    let tree = Root::from_fd(tree);
    let target = if tree.metadata(Path::new(".")).is_ok() {
        root.create_dir_all(target, 0o755)?
    } else {
        root.create_file(target, 0o644)?
    };
    linux::mount::attach(&tree, &target)
}

#[cfg(test)]
mod tests {
    use super::{absolute, evaluated};
    use linux::path::Root;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn paths_begin_at_the_root() {
        for (path, whole) in
            [("", "/"), ("a/./b/", "/a/b"), ("/../../a", "/a"), ("/a/../../b", "/b"), ("/.", "/")]
        {
            assert_eq!(absolute(path), Path::new(whole), "{path}");
        }
    }

    #[test]
    fn links_are_told_as_the_container_sees_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        for (target, name) in [
            ("/a", "absolute"),
            ("../../../a/b", "a/up"),
            ("absolute/b", "twice"),
            ("loop", "loop"),
        ] {
            symlink(target, directory.path().join(name)).unwrap();
        }
        for (path, target) in
            [("/absolute", "/a"), ("/a/up", "/a/b"), ("/twice", "/a/b"), ("/loop", "/loop")]
        {
            assert_eq!(evaluated(&root, Path::new(path)), target, "{path}");
        }
    }
}
