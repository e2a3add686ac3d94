//! A tree of files as an archive.
//!
//! Every step goes by an open directory and follows no link, as others may change the tree meanwhile:
//! what they exchange is left out or told as it is then, and nothing outside of it is ever read.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::walk;
use crate::ArchiveError;
use crate::archive::shown;

/// The deepest tree.
const MAX_DEPTH: usize = 512;

/// The longest value of an extended attribute, and of all names of them (xattr(7)).
const MAX_ATTRIBUTE: usize = 64 << 10;

/// Writes what has this name in an open directory, itself and all below, as `called`. Sockets are
/// left out, as they mean nothing elsewhere.
///
/// # Errors
/// [`ArchiveError::Write`] for what cannot be read, or not be written to `output`.
pub fn pack(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    called: &Path,
    output: &mut dyn Write,
) -> Result<(), ArchiveError> {
    let mut packer = Packer { tar: tar::Builder::new(output), links: HashMap::new() };
    packer.entry(directory, name, called, 0)?;
    packer.tar.finish().map_err(|source| failed("write", called, source))
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Write { operation, path: shown(path.as_os_str().as_bytes()), source }
}

struct Packer<'a> {
    tar: tar::Builder<&'a mut dyn Write>,
    /// Where files with several names were first seen.
    links: HashMap<(u64, u64), PathBuf>,
}

impl Packer<'_> {
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let fail = |operation| move |errno: Errno| failed(operation, path, errno.into());
        let status = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Somebody has taken it away since the directory was read.
            Err(Errno::NOENT) if depth > 0 => return Ok(()),
            other => other.map_err(fail("look at"))?,
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => self.file(parent, name, path),
            FileType::Directory => self.directory(parent, name, path, depth),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new());
                let target = target.map_err(fail("read link"))?;
                let mut header = header(&status, tar::EntryType::Symlink, 0);
                let target = OsStr::from_bytes(target.as_bytes());
                let written = self.tar.append_link(&mut header, path, target);
                written.map_err(|source| failed("write", path, source))
            }
            FileType::Fifo => self.plain(&status, tar::EntryType::Fifo, path),
            FileType::CharacterDevice => self.plain(&status, tar::EntryType::Char, path),
            FileType::BlockDevice => self.plain(&status, tar::EntryType::Block, path),
            _ => Ok(()),
        }
    }

    fn plain(
        &mut self,
        status: &Stat,
        kind: tar::EntryType,
        path: &Path,
    ) -> Result<(), ArchiveError> {
        let mut header = header(status, kind, 0);
        if kind != tar::EntryType::Fifo {
            let (major, minor) =
                (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
            let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
            set.map_err(|source| failed("write", path, source))?;
        }
        let written = self.tar.append_data(&mut header, path, io::empty());
        written.map_err(|source| failed("write", path, source))
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), ArchiveError> {
        let fail = |operation| move |errno: Errno| failed(operation, path, errno.into());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, Mode::empty());
        let file = match file {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            other => other.map_err(fail("open"))?,
        };
        let status = rustix::fs::fstat(&file).map_err(fail("look at"))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        if status.st_nlink > 1 {
            let place = (status.st_dev, status.st_ino);
            if let Some(first) = self.links.get(&place) {
                let mut header = header(&status, tar::EntryType::Link, 0);
                let written = self.tar.append_link(&mut header, path, first);
                return written.map_err(|source| failed("write", path, source));
            }
            self.links.insert(place, path.to_owned());
        }
        self.attributes(file.as_fd(), path)?;
        let size = u64::try_from(status.st_size).unwrap_or(0);
        let mut header = header(&status, tar::EntryType::Regular, size);
        let data = Exactly { file: File::from(file), left: size };
        let written = self.tar.append_data(&mut header, path, data);
        written.map_err(|source| failed("copy", path, source))
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let fail = |operation| move |errno: Errno| failed(operation, path, errno.into());
        if depth > MAX_DEPTH {
            return Err(fail("go into")(Errno::LOOP));
        }
        let directory = match walk::open_directory(parent, Path::new(name)) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) if depth > 0 => return Ok(()),
            other => other.map_err(fail("open"))?,
        };
        let status = rustix::fs::fstat(&directory).map_err(fail("look at"))?;
        self.attributes(directory.as_fd(), path)?;
        let mut header = header(&status, tar::EntryType::Directory, 0);
        let slashed = path.join("");
        let written = self.tar.append_data(&mut header, &slashed, io::empty());
        written.map_err(|source| failed("write", path, source))?;
        for name in walk::names(directory.as_fd()).map_err(fail("read"))? {
            self.entry(directory.as_fd(), &name, &path.join(&name), depth + 1)?;
        }
        Ok(())
    }

    /// As pax has them (`SCHILY.xattr.NAME`): what a user has set, and capabilities.
    fn attributes(&mut self, file: BorrowedFd<'_>, path: &Path) -> Result<(), ArchiveError> {
        let mut names = Vec::with_capacity(MAX_ATTRIBUTE);
        let Ok(_) = rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(&mut names)) else {
            // The file system has none.
            return Ok(());
        };
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        for name in names.split(|byte| *byte == 0) {
            let Ok(text) = std::str::from_utf8(name) else { continue };
            if !(text.starts_with("user.") || text == "security.capability")
                || text.starts_with("user.overlay.")
            {
                continue;
            }
            let mut value = Vec::with_capacity(MAX_ATTRIBUTE);
            let name = OsString::from(text);
            let read =
                rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value));
            if read.is_ok() {
                found.push((format!("SCHILY.xattr.{text}"), value));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let extensions = found.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let written = self.tar.append_pax_extensions(extensions);
        written.map_err(|source| failed("write", path, source))
    }
}

fn header(status: &Stat, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(status.st_mode & 0o7777);
    header.set_uid(status.st_uid.into());
    header.set_gid(status.st_gid.into());
    header.set_mtime(u64::try_from(status.st_mtime).unwrap_or(0));
    header.set_size(size);
    header
}

/// As many bytes as were promised: of a file that has grown no more, of one that has shrunk zeros.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let mut count = self.file.read(buffer)?;
        if count == 0 {
            buffer.fill(0);
            count = buffer.len();
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
