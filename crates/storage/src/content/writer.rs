//! A blob being written, with its hash running along.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use oci::{Digest, Hasher};

use super::lock;
use crate::garbage::Leases;
use crate::{Error, Result};

/// Bytes read at once when a partial blob is hashed again.
const CHUNK: usize = 256 << 10;

/// A blob being written. Dropped without [`Self::commit`], it leaves its bytes to be resumed, unless
/// there are none or it is they that fill the disk.
#[derive(Debug)]
pub struct BlobWriter {
    digest: Digest,
    size: Option<u64>,
    file: File,
    path: PathBuf,
    hasher: Hasher,
    offset: u64,
    place: Place,
    /// Whether this is the writer that resumes.
    resumes: bool,
    /// Whether there was no space for it.
    is_short_of_space: bool,
}

/// Where blobs are written and come to lie.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partial: PathBuf,
    pub(super) pending: PathBuf,
    pub(super) leases: Arc<Leases>,
    pub(super) resuming: Arc<Mutex<HashSet<Digest>>>,
}

impl BlobWriter {
    pub(super) fn open(digest: &Digest, size: Option<u64>, place: Place) -> Result<Self> {
        let resumes = lock(&place.resuming).insert(digest.clone());
        let mut name = digest.hex().to_owned();
        if !resumes {
            name = format!("{name}.{}", stdx::hex::encode(&stdx::random::bytes::<6>()));
        }
        let path = place.partial.join(name);
        let opened = open_partial(&path);
        let file = match opened {
            Ok(file) => file,
            Err(source) => {
                if resumes {
                    lock(&place.resuming).remove(digest);
                }
                return Err(Error::io("open", &path, source));
            }
        };
        let hasher = digest.hasher();
        let digest = digest.clone();
        let is_short_of_space = false;
        let mut writer =
            Self { digest, size, file, path, hasher, offset: 0, place, resumes, is_short_of_space };
        writer.resume()?;
        writer.check_space()?;
        Ok(writer)
    }

    /// How many bytes are there already.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The digest it is to have.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Forgets what is there, for a source that cannot go on in the middle.
    ///
    /// # Errors
    /// When the file cannot be truncated.
    pub fn restart(&mut self) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(|source| Error::io("truncate", &self.path, source))?;
        self.hasher = self.digest.hasher();
        self.offset = 0;
        Ok(())
    }

    /// Verifies size and digest and makes the blob visible. It is durable after
    /// [`crate::Store::sync`].
    ///
    /// # Errors
    /// [`Error::WrongSize`] when bytes are missing, which leaves them to be resumed;
    /// [`Error::WrongDigest`], which removes them.
    pub fn commit(self) -> Result<()> {
        if let Some(want) = self.size.filter(|&size| size != self.offset) {
            let (digest, have) = (self.digest.clone(), self.offset);
            return Err(Error::WrongSize { digest, want, have, more: false });
        }
        let have = self.hasher.clone().finish();
        if have != self.digest {
            let want = self.digest.clone();
            self.abandon();
            return Err(Error::WrongDigest { want, have });
        }
        // Noted before it can be seen, so that no collection finds it without its note.
        self.place.leases.committed(&self.digest);
        let to = &self.place.pending;
        fs::rename(&self.path, to).map_err(|source| Error::io("rename", &self.path, source))
    }

    /// Removes what was written.
    pub fn abandon(self) {
        drop(fs::remove_file(&self.path));
    }

    /// Hashes what an earlier writer left.
    fn resume(&mut self) -> Result<()> {
        let fail = |source| Error::io("read", &self.path, source);
        let length = self.file.metadata().map_err(fail)?.len();
        if self.size.is_some_and(|size| length > size) {
            return self.restart();
        }
        let mut chunk = vec![0; if length == 0 { 0 } else { CHUNK }];
        while self.offset < length {
            let count = self.file.read(&mut chunk).map_err(fail)?;
            if count == 0 {
                break;
            }
            self.hasher.update(chunk.get(..count).unwrap_or_default());
            self.offset += count as u64;
        }
        Ok(())
    }

    /// Better to say so now than after a gigabyte.
    fn check_space(&mut self) -> Result<()> {
        let Some(size) = self.size else { return Ok(()) };
        let free =
            free_space(&self.file).map_err(|source| Error::io("look at", &self.path, source))?;
        if size - self.offset > free {
            self.is_short_of_space = true;
            return Err(Error::NoSpace { operation: "write", path: self.path.clone() });
        }
        Ok(())
    }
}

/// Bytes that may still be written to a file's file system.
pub(crate) fn free_space(file: impl std::os::fd::AsFd) -> io::Result<u64> {
    let status = rustix::fs::fstatvfs(file)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

fn open_partial(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

impl Write for BlobWriter {
    /// More bytes than were announced are an error of kind `InvalidData`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let excess = |size| self.offset.saturating_add(bytes.len() as u64) > size;
        if let Some(want) = self.size.filter(|&size| excess(size)) {
            let (digest, have) = (self.digest.clone(), want);
            let error = Error::WrongSize { digest, want, have, more: true };
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let count = self.file.write(bytes).inspect_err(|error| {
            self.is_short_of_space |= error.kind() == io::ErrorKind::StorageFull;
        })?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.offset += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if self.resumes {
            // Nothing to go on with.
            if self.is_short_of_space || self.offset == 0 {
                drop(fs::remove_file(&self.path));
            }
            lock(&self.place.resuming).remove(&self.digest);
        } else {
            // Nobody would find it again; after a commit it is not there any more.
            drop(fs::remove_file(&self.path));
        }
    }
}
