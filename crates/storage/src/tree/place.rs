//! The entries of an archive in a tree of files that is there already, and in use: a container's.
//!
//! Unlike a layer's directory it is not ours alone. Parents are resolved by the kernel inside of the
//! root; what is made is made anew in an open directory, and changed by its own descriptor only: who
//! exchanges it for a link meanwhile gets what he has exchanged it for, and nothing else is touched.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::path::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::walk;
use crate::ArchiveError;
use crate::archive::{Entry, Kind, Reader, shown};
use crate::layers::attributes::{self, Target};
use crate::layers::name::{InnerPath, os};

type Result<T> = std::result::Result<T, ArchiveError>;

/// More entries than this are refused, and more directories remembered.
const MAX_ENTRIES: usize = 8 << 20;
const MAX_DIRECTORIES: usize = 1 << 20;

/// How an archive is placed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placing {
    /// No directory becomes something else, and nothing else a directory.
    pub keeps_directories: bool,
    /// To whom everything belongs, instead of to whom the archive says.
    pub owner: Option<(u32, u32)>,
}

/// Places the entries below this directory of the root, which must exist.
///
/// # Errors
/// What is wrong with the archive; [`ArchiveError::Write`] for what cannot be made. What was placed
/// before stays.
pub fn place(root: &Root, below: &Path, input: impl BufRead, how: Placing) -> Result<()> {
    let mut reader = Reader::new(input);
    let mut placer = Placer { root, below, how, directories: Vec::new() };
    let mut count = 0_usize;
    while let Some(mut entry) = reader.next_entry()? {
        count += 1;
        if count > MAX_ENTRIES || placer.directories.len() > MAX_DIRECTORIES {
            return Err(refused(&entry.path, "there are too many"));
        }
        if let Some((user, group)) = how.owner {
            (entry.uid, entry.gid) = (user, group);
        }
        placer.entry(&mut reader, entry)?;
    }
    reader.drain()?;
    placer.finish_directories()
}

struct Placer<'a> {
    root: &'a Root,
    below: &'a Path,
    how: Placing,
    /// What they are given at the end, when nothing changes in them any more.
    directories: Vec<(PathBuf, Entry)>,
}

/// An entry's place: an open directory and a name in it.
struct Place<'a> {
    parent: OwnedFd,
    name: &'a OsStr,
    path: &'a [u8],
}

impl Place<'_> {
    fn failed(&self, operation: &'static str) -> impl FnOnce(Errno) -> ArchiveError {
        failed(operation, self.path)
    }

    fn look(&self) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.parent, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("look at")(errno)),
        }
    }
}

fn failed(operation: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> ArchiveError {
    let path = shown(path);
    move |errno| match errno {
        Errno::NOSPC | Errno::DQUOT => ArchiveError::NoSpace,
        errno => ArchiveError::Write { operation, path, source: errno.into() },
    }
}

fn refused(path: &[u8], reason: &'static str) -> ArchiveError {
    ArchiveError::Refused { path: shown(path), reason }
}

impl Placer<'_> {
    fn entry<R: BufRead>(&mut self, reader: &mut Reader<R>, entry: Entry) -> Result<()> {
        let path = InnerPath::parse(&entry.path).map_err(|reason| refused(&entry.path, reason))?;
        if path.is_root() {
            return match entry.kind {
                // The directory itself is there.
                Kind::Directory => Ok(()),
                _ => Err(refused(&entry.path, "it would take the place of the directory")),
            };
        }
        let (parent, name) = path.split();
        let parent = self.root.create_dir_all(&self.below.join(os(parent)), 0o755);
        let parent = parent
            .map_err(|error| failed("open", &entry.path)(error.errno().unwrap_or(Errno::IO)))?;
        let place = Place { parent, name: os(name), path: &entry.path };
        self.make_room(&place, &entry)?;
        match entry.kind {
            Kind::File => file(reader, &place, &entry),
            Kind::Directory => {
                match rustix::fs::mkdirat(&place.parent, place.name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(place.failed("create directory")(errno)),
                }
                let path = self.below.join(path.as_path());
                let entry = Entry { path: Vec::new(), link: Vec::new(), ..entry };
                self.directories.push((path, entry));
                Ok(())
            }
            Kind::HardLink => self.hard_link(&place, &entry),
            Kind::Symlink => symlink(&place, &entry),
            Kind::Character(..) | Kind::Block(..) | Kind::Fifo => node(&place, &entry),
        }
    }

    /// Takes away what is in the way; a directory stays for a directory.
    fn make_room(&self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let Some(present) = place.look()? else { return Ok(()) };
        let is_directory = FileType::from_raw_mode(present.st_mode) == FileType::Directory;
        let becomes_directory = entry.kind == Kind::Directory;
        if is_directory && becomes_directory {
            return Ok(());
        }
        if self.how.keeps_directories && is_directory != becomes_directory {
            let reason = if is_directory {
                "cannot overwrite directory with non-directory"
            } else {
                "cannot overwrite non-directory with directory"
            };
            return Err(refused(place.path, reason));
        }
        remove(place.parent.as_fd(), place.name).map_err(place.failed("remove"))
    }

    fn hard_link(&self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let target =
            InnerPath::parse(&entry.link).map_err(|reason| refused(&entry.link, reason))?;
        if target.is_root() {
            return Err(refused(&entry.path, "a hard link to the directory"));
        }
        let (parent, name) = target.split();
        let parent =
            self.root.open_at(&self.below.join(os(parent)), OFlags::PATH | OFlags::DIRECTORY);
        let parent = parent
            .map_err(|error| failed("link", &entry.path)(error.errno().unwrap_or(Errno::IO)))?;
        // Without following: a link of somebody's is linked itself.
        rustix::fs::linkat(&parent, os(name), &place.parent, place.name, AtFlags::empty())
            .map_err(place.failed("link"))
    }

    fn finish_directories(&self) -> Result<()> {
        for (path, entry) in self.directories.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            // One that somebody has taken away needs nothing.
            let Ok(directory) = self.root.open_at(path, flags) else { continue };
            let shown = path.as_os_str().as_encoded_bytes();
            attributes::apply(&Target::Open(directory.as_fd()), entry)
                .map_err(failed("set attributes of", shown))?;
        }
        Ok(())
    }
}

fn file<R: BufRead>(reader: &mut Reader<R>, place: &Place<'_>, entry: &Entry) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o600);
    let file = rustix::fs::openat(&place.parent, place.name, flags | OFlags::CLOEXEC, mode);
    let file = File::from(file.map_err(place.failed("create"))?);
    let mut copy = |mut offset: u64, length: u64| {
        reader.take(length, &mut |mut bytes| {
            while !bytes.is_empty() {
                let count =
                    rustix::io::pwrite(&file, bytes, offset).map_err(place.failed("write"))?;
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Ok(())
        })
    };
    match &entry.segments {
        None => copy(0, u64::MAX)?,
        Some(segments) => {
            for segment in segments {
                copy(segment.offset, segment.length)?;
            }
            rustix::fs::ftruncate(&file, entry.size).map_err(place.failed("write"))?;
        }
    }
    attributes::apply(&Target::Open(file.as_fd()), entry).map_err(place.failed("set attributes of"))
}

fn symlink(place: &Place<'_>, entry: &Entry) -> Result<()> {
    if entry.link.is_empty() || entry.link.contains(&0) {
        return Err(refused(&entry.path, "a symbolic link to nothing"));
    }
    rustix::fs::symlinkat(os(&entry.link), &place.parent, place.name)
        .map_err(place.failed("create"))?;
    let target = Target::Named(place.parent.as_fd(), place.name);
    attributes::apply(&target, entry).map_err(place.failed("set attributes of"))
}

fn node(place: &Place<'_>, entry: &Entry) -> Result<()> {
    let (file_type, major, minor) = match entry.kind {
        // Overlay's own mark of what is gone.
        Kind::Character(0, 0) => return Err(refused(&entry.path, "a device that is none")),
        Kind::Character(major, minor) => (FileType::CharacterDevice, major, minor),
        Kind::Block(major, minor) => (FileType::BlockDevice, major, minor),
        _ => (FileType::Fifo, 0, 0),
    };
    let device = rustix::fs::makedev(major, minor);
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(&place.parent, place.name, file_type, mode, device)
        .map_err(place.failed("create"))?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(&place.parent, place.name, flags, Mode::empty())
        .map_err(place.failed("open"))?;
    // By its descriptor: its name may be a link by now.
    let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(&made, "", Some(user), Some(group), AtFlags::EMPTY_PATH)
        .map_err(place.failed("set attributes of"))?;
    let path = format!("/proc/self/fd/{}", made.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(entry.mode))
        .map_err(place.failed("set attributes of"))
}

/// Removes what has this name, with all below; mounts are in the way.
fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> std::result::Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    let directory = walk::open_directory(parent, Path::new(name))?;
    for child in walk::names(directory.as_fd())? {
        remove(directory.as_fd(), &child)?;
    }
    drop(directory);
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// The bytes of a stream that may be compressed, which its beginning says.
///
/// # Errors
/// [`ArchiveError::Compression`] for one that is not supported.
pub fn decompressed<'a>(
    input: &'a mut (dyn io::Read + Send),
) -> Result<io::BufReader<Box<dyn io::Read + 'a>>> {
    Ok(io::BufReader::with_capacity(64 << 10, crate::layers::decoder(input)?))
}
