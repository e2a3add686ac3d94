//! From entries to files.
//!
//! The kernel resolves every path inside the layer's directory; symbolic links that the archive
//! made earlier are followed there and nowhere else, as they would be in a container. A name is
//! always created anew, never opened: what stands in its way is removed first, so nothing is ever
//! written *through* a link, a device or a hard link. Directories get their owner, mode and times
//! at the end, when nothing changes in them any more.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use linux::path::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{self, Target};
use super::name::{InnerPath, Meaning, os};
use crate::archive::{Entry, Kind, Reader, shown};
use crate::content::free_space;
use crate::trash::Trash;
use crate::{ArchiveError, UnpackedLayer};

type Result<T> = std::result::Result<T, ArchiveError>;

/// More entries than this in one layer are refused.
const MAX_ENTRIES: u64 = 8 << 20;
/// Bytes of names and attributes of directories kept until the end.
const MAX_KEPT: usize = 256 << 20;
/// A layer may not take the last of a disk: this many bytes must stay free.
const RESERVE: u64 = 32 << 20;
/// Space is looked at after this many bytes, and after this many entries.
const LOOK_BYTES: u64 = 64 << 20;
const LOOK_ENTRIES: u64 = 4096;

/// Unpacks an archive into an empty directory and reads it to its end.
pub(super) fn unpack(
    input: impl io::BufRead,
    root: &Path,
    trash: &Trash,
    layer: UnpackedLayer,
) -> Result<UnpackedLayer> {
    let root = Root::open(root).map_err(|error| ArchiveError::Write {
        operation: "open",
        path: "/".to_owned(),
        source: io::Error::other(error),
    })?;
    let mut unpacker = Unpacker {
        root,
        trash,
        layer,
        parent: None,
        directories: HashMap::new(),
        kept: 0,
        since_look: 0,
    };
    let mut reader = Reader::new(input);
    while let Some(entry) = reader.next_entry()? {
        unpacker.entry(&mut reader, entry)?;
    }
    reader.drain()?;
    unpacker.finish_directories()?;
    Ok(unpacker.layer)
}

struct Unpacker<'a> {
    root: Root,
    trash: &'a Trash,
    layer: UnpackedLayer,
    /// The directory the last entry was in: the next one mostly is in the same.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// What directories are given at the end.
    directories: HashMap<InnerPath, Entry>,
    kept: usize,
    /// Bytes written since space was last looked at.
    since_look: u64,
}

/// An entry's place: an open directory and a name in it.
struct Place<'a> {
    parent: Rc<OwnedFd>,
    name: &'a OsStr,
    path: &'a InnerPath,
}

impl Place<'_> {
    fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> ArchiveError {
        failed(operation, self.path.as_bytes())
    }
}

fn failed(operation: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> ArchiveError {
    move |errno| match errno {
        Errno::NOSPC | Errno::DQUOT => ArchiveError::NoSpace,
        errno => ArchiveError::Write { operation, path: shown(path), source: errno.into() },
    }
}

fn refused(path: &[u8], reason: &'static str) -> ArchiveError {
    ArchiveError::Refused { path: shown(path), reason }
}

impl Unpacker<'_> {
    fn entry<R: io::BufRead>(&mut self, reader: &mut Reader<R>, entry: Entry) -> Result<()> {
        self.layer.entries += 1;
        if self.layer.entries > MAX_ENTRIES {
            return Err(refused(&entry.path, "the layer has too many entries"));
        }
        if self.layer.entries.is_multiple_of(LOOK_ENTRIES) {
            self.look_at_space()?;
        }
        let path = InnerPath::parse(&entry.path).map_err(|reason| refused(&entry.path, reason))?;
        match path.meaning().map_err(|reason| refused(&entry.path, reason))? {
            Meaning::Ignored => Ok(()),
            Meaning::Opaque => self.opaque(path.split().0),
            Meaning::Whiteout(hidden) => self.whiteout(&path, hidden),
            Meaning::Plain if path.is_root() => match entry.kind {
                // The root is ours: a container's root directory belongs to root, mode 0755.
                Kind::Directory => Ok(()),
                _ => Err(refused(&entry.path, "the root is no directory")),
            },
            Meaning::Plain => self.plain(reader, &path, entry),
        }
    }

    fn plain<R: io::BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        path: &InnerPath,
        entry: Entry,
    ) -> Result<()> {
        let (parent, name) = path.split();
        let place = Place { parent: self.directory(parent)?, name: os(name), path };
        match entry.kind {
            Kind::File => self.file(reader, &place, &entry),
            Kind::Directory => self.make_directory(&place, entry),
            Kind::HardLink => self.hard_link(&place, &entry),
            Kind::Symlink => self.symlink(&place, &entry),
            // Overlay's own whiteout, and not for a stranger to make.
            Kind::Character(0, 0) => Ok(()),
            Kind::Character(..) | Kind::Block(..) | Kind::Fifo => self.node(&place, &entry),
        }
    }

    fn file<R: io::BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        place: &Place<'_>,
        entry: &Entry,
    ) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let file = self.create(place, |place| {
            rustix::fs::openat(&place.parent, place.name, flags | OFlags::CLOEXEC, mode)
        })?;
        let file = File::from(file);
        self.contents(reader, place, entry, &file)?;
        attributes::apply(&Target::Open(file.as_fd()), entry)
            .map_err(place.failed("set attributes of"))?;
        self.layer.size += entry.size;
        Ok(())
    }

    fn contents<R: io::BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        place: &Place<'_>,
        entry: &Entry,
        file: &File,
    ) -> Result<()> {
        let Some(segments) = &entry.segments else {
            return self.copy(reader, place, file, 0, u64::MAX);
        };
        for segment in segments {
            self.copy(reader, place, file, segment.offset, segment.length)?;
        }
        rustix::fs::ftruncate(file, entry.size).map_err(place.failed("write"))
    }

    /// Writes the next `length` bytes of the entry's data at `offset`.
    fn copy<R: io::BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        place: &Place<'_>,
        file: &File,
        mut offset: u64,
        length: u64,
    ) -> Result<()> {
        reader.take(length, &mut |mut bytes| {
            self.since_look += bytes.len() as u64;
            if self.since_look >= LOOK_BYTES {
                self.look_at_space()?;
            }
            while !bytes.is_empty() {
                let count =
                    rustix::io::pwrite(file, bytes, offset).map_err(place.failed("write"))?;
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Ok(())
        })
    }

    fn make_directory(&mut self, place: &Place<'_>, entry: Entry) -> Result<()> {
        self.new_directory(place)?;
        let attributes = entry.attributes.iter();
        let size = attributes.map(|attribute| attribute.name.len() + attribute.value.len());
        self.kept +=
            place.path.as_bytes().len() + std::mem::size_of::<Entry>() + size.sum::<usize>();
        if self.kept > MAX_KEPT {
            return Err(refused(&entry.path, "the layer has too many directories"));
        }
        let entry = Entry { path: Vec::new(), link: Vec::new(), ..entry };
        self.directories.insert(place.path.clone(), entry);
        Ok(())
    }

    /// A directory that is there stays, with what is in it.
    fn new_directory(&mut self, place: &Place<'_>) -> Result<()> {
        let make = || rustix::fs::mkdirat(&place.parent, place.name, Mode::from_raw_mode(0o755));
        match make() {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(place.failed("create directory")(errno)),
        }
        let status = self.look(place)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            return Ok(());
        }
        self.clear(place)?;
        make().map_err(place.failed("create directory"))?;
        // The archive removed what lower layers had here and then made it anew.
        if is_whiteout(&status) { set_opaque(place) } else { Ok(()) }
    }

    fn hard_link(&mut self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let target =
            InnerPath::parse(&entry.link).map_err(|reason| refused(&entry.link, reason))?;
        if target.is_root() {
            return Err(refused(&entry.path, "a hard link to the root"));
        }
        if target == *place.path {
            return Ok(());
        }
        let (parent, name) = target.split();
        let missing = |errno| match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::PERM | Errno::LOOP => {
                refused(&entry.path, "a hard link to what is no file of this layer")
            }
            errno => failed("link", &entry.path)(errno),
        };
        let parent = self.open_directory(parent).map_err(missing)?;
        let status =
            rustix::fs::statat(&parent, os(name), AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            return Err(missing(Errno::PERM));
        }
        let link = |place: &Place<'_>| {
            rustix::fs::linkat(&parent, os(name), &place.parent, place.name, AtFlags::empty())
        };
        match link(place) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(missing),
        }
        let present = self.look(place)?;
        if (present.st_dev, present.st_ino) == (status.st_dev, status.st_ino) {
            return Ok(());
        }
        self.clear(place)?;
        link(place).map_err(missing)
    }

    fn symlink(&mut self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(refused(&entry.path, "a symbolic link to nothing"));
        }
        self.create(place, |place| {
            rustix::fs::symlinkat(os(&entry.link), &place.parent, place.name)
        })?;
        self.named_attributes(place, entry)
    }

    fn node(&mut self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let (file_type, major, minor) = match entry.kind {
            Kind::Character(major, minor) => (FileType::CharacterDevice, major, minor),
            Kind::Block(major, minor) => (FileType::BlockDevice, major, minor),
            _ => (FileType::Fifo, 0, 0),
        };
        let device = rustix::fs::makedev(major, minor);
        self.create(place, |place| {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(&place.parent, place.name, file_type, mode, device)
        })?;
        self.named_attributes(place, entry)
    }

    fn named_attributes(&self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let target = Target::Named(place.parent.as_fd(), place.name);
        attributes::apply(&target, entry).map_err(place.failed("set attributes of"))
    }

    /// Lower layers' entry of that name is gone. Our own of that name, if there is one, stays: a
    /// whiteout is about lower layers only. A directory then hides what was in theirs.
    fn whiteout(&mut self, path: &InnerPath, hidden: &[u8]) -> Result<()> {
        let parent = self.directory(path.split().0)?;
        let place = Place { parent, name: os(hidden), path };
        let mode = Mode::from_raw_mode(0);
        let kind = FileType::CharacterDevice;
        match rustix::fs::mknodat(&place.parent, place.name, kind, mode, 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let status = self.look(&place)?;
                let directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
                if directory { set_opaque(&place) } else { Ok(()) }
            }
            Err(errno) => Err(place.failed("create whiteout")(errno)),
        }
    }

    /// Lower layers' directory of that name is hidden.
    fn opaque(&mut self, directory: &[u8]) -> Result<()> {
        if directory.is_empty() {
            // Overlay does not look for the mark on the root of a lower; mounting does.
            self.layer.opaque = true;
            return Ok(());
        }
        let path = InnerPath::parse(directory).map_err(|reason| refused(directory, reason))?;
        let (parent, name) = path.split();
        // The mark may come before the directory itself.
        drop(self.directory(directory)?);
        let place = Place { parent: self.directory(parent)?, name: os(name), path: &path };
        set_opaque(&place)
    }

    /// Makes something new; what is there under its name is removed.
    fn create<T>(
        &mut self,
        place: &Place<'_>,
        make: impl Fn(&Place<'_>) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        match make(place) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(place.failed("create")),
        }
        self.clear(place)?;
        make(place).map_err(place.failed("create"))
    }

    /// Removes what is there under a name; of two entries with one name the last counts.
    fn clear(&mut self, place: &Place<'_>) -> Result<()> {
        match rustix::fs::unlinkat(&place.parent, place.name, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(place.failed("replace")(errno)),
        }
        self.trash.take_at(place.parent.as_fd(), place.name).map_err(place.failed("replace"))?;
        self.parent = None;
        let gone = place.path.as_bytes();
        self.directories.retain(|path, _| path.as_bytes() != gone && !path.is_below(gone));
        Ok(())
    }

    fn look(&self, place: &Place<'_>) -> Result<rustix::fs::Stat> {
        rustix::fs::statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(place.failed("look at"))
    }

    /// An open directory of the layer, made with its parents where missing.
    fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if let Some((cached, directory)) = &self.parent
            && cached == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = match self.open_directory(path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(path)?,
            Err(errno) => return Err(failed("open directory", path)(errno)),
        };
        let directory = Rc::new(directory);
        self.parent = Some((path.to_vec(), Rc::clone(&directory)));
        Ok(directory)
    }

    fn open_directory(&self, path: &[u8]) -> std::result::Result<OwnedFd, Errno> {
        let path = if path.is_empty() { Path::new(".") } else { Path::new(os(path)) };
        self.root
            .open_at(path, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| error.errno().unwrap_or(Errno::IO))
    }

    /// Directories that the archive implies; one by one from the top.
    fn make_parents(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut above = self.open_directory(b"").map_err(failed("open directory", path))?;
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends: Vec<usize> = slashes.map(|(end, _)| end).chain([path.len()]).collect();
        for end in ends {
            let part = path.get(..end).unwrap_or_default();
            above = match self.open_directory(part) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    self.make_parent(Rc::new(above), part)?;
                    self.open_directory(part).map_err(failed("open directory", part))?
                }
                Err(errno) => return Err(failed("open directory", part)(errno)),
            };
        }
        Ok(above)
    }

    fn make_parent(&mut self, parent: Rc<OwnedFd>, path: &[u8]) -> Result<()> {
        let path = InnerPath::parse(path).map_err(|reason| refused(path, reason))?;
        let place = Place { parent, name: os(path.split().1), path: &path };
        match rustix::fs::statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(status) if is_whiteout(&status) => {}
            Ok(_) => return Err(refused(path.as_bytes(), "it is used as a directory and is none")),
            Err(errno) => return Err(place.failed("look at")(errno)),
        }
        self.new_directory(&place)?;
        // Whatever the process's file creation mask.
        rustix::fs::chmodat(&place.parent, place.name, Mode::from_raw_mode(0o755), AtFlags::empty())
            .map_err(place.failed("set mode of"))
    }

    /// Owner, mode, attributes and times of directories, deepest first.
    fn finish_directories(&mut self) -> Result<()> {
        let mut directories: Vec<(InnerPath, Entry)> =
            std::mem::take(&mut self.directories).into_iter().collect();
        directories.sort_by(|one, other| other.0.cmp(&one.0));
        for (path, entry) in directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match self.root.open_at(path.as_path(), flags) {
                Ok(directory) => attributes::apply(&Target::Open(directory.as_fd()), &entry)
                    .map_err(failed("set attributes of", path.as_bytes()))?,
                // It was replaced, under another name for it.
                Err(error)
                    if matches!(
                        error.errno(),
                        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
                    ) => {}
                Err(error) => {
                    let errno = error.errno().unwrap_or(Errno::IO);
                    return Err(failed("open directory", path.as_bytes())(errno));
                }
            }
        }
        Ok(())
    }

    fn look_at_space(&mut self) -> Result<()> {
        self.since_look = 0;
        match free_space(&self.root) {
            Ok(free) if free < RESERVE => Err(ArchiveError::NoSpace),
            _ => Ok(()),
        }
    }
}

fn is_whiteout(status: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

/// Overlay's mark for a directory that hides those below it.
fn set_opaque(place: &Place<'_>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&place.parent, place.name, flags, Mode::empty())
        .and_then(|directory| attributes::set_opaque(directory.as_fd()))
        .map_err(place.failed("mark opaque"))
}
