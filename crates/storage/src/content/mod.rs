//! Blobs by digest, exactly as they came (compressed): an uncompressed archive could not give back
//! the compressed digest that manifests name.

mod scratch;
mod writer;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use oci::Digest;
use oci::manifest::MAX_DOCUMENT;

pub use writer::BlobWriter;
pub(crate) use writer::free_space;

use crate::garbage::Leases;
use crate::{Error, Result, pending};

/// The blobs of a store.
#[derive(Debug, Clone)]
pub struct Content {
    root: PathBuf,
    leases: Arc<Leases>,
    /// The blobs that have a writer which resumes them.
    resuming: Arc<Mutex<HashSet<Digest>>>,
}

impl Content {
    pub(crate) fn new(root: PathBuf, leases: Arc<Leases>) -> Self {
        Self { root, leases, resuming: Arc::default() }
    }

    /// Whether the whole blob is here.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.find(digest, |path| path.metadata()).is_ok()
    }

    /// The blob's size in bytes.
    ///
    /// # Errors
    /// `NotFound` when it is not here.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        Ok(self.find(digest, |path| path.metadata())?.len())
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// `NotFound` when it is not here.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        self.find(digest, |path| File::open(path))
    }

    /// Reads a small blob (manifest, configuration) and verifies it.
    ///
    /// # Errors
    /// `NotFound`; [`Error::TooLarge`] above 16 MiB; [`Error::WrongDigest`] when the disk lies.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open(digest)?;
        file.take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::io("read", &self.root.join(digest.hex()), source))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(Error::TooLarge { digest: digest.clone(), size: self.size(digest)? });
        }
        let mut hasher = digest.hasher();
        hasher.update(&bytes);
        let have = hasher.finish();
        if have == *digest {
            return Ok(bytes);
        }
        Err(Error::WrongDigest { want: digest.clone(), have })
    }

    /// Stores a small blob under its own SHA-256 digest.
    ///
    /// # Errors
    /// As for writing a file.
    pub fn write(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        self.write_as(&digest, bytes)?;
        Ok(digest)
    }

    /// Stores a small blob whose digest is known already, of whatever algorithm.
    ///
    /// # Errors
    /// As for writing a file; `WrongDigest`.
    pub fn write_as(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        if self.has(digest) {
            return Ok(());
        }
        let mut writer = self.writer(digest, Some(bytes.len() as u64))?;
        writer.restart()?;
        writer
            .write_all(bytes)
            .map_err(|source| Error::io("write", &self.root.join(digest.hex()), source))?;
        writer.commit()
    }

    /// Starts or resumes a blob. `size` in bytes, if known, is checked; what an earlier writer left
    /// is kept and hashed again, [`BlobWriter::offset`] says from where to go on. Only one writer at
    /// a time resumes; a second one for the same digest starts from nothing, and either may commit.
    ///
    /// # Errors
    /// `NoSpace` when `size` is more than the file system has left.
    pub fn writer(&self, digest: &Digest, size: Option<u64>) -> Result<BlobWriter> {
        let place = writer::Place {
            partial: self.root.join("partial"),
            pending: self.root.join("pending").join(digest.hex()),
            leases: Arc::clone(&self.leases),
            resuming: Arc::clone(&self.resuming),
        };
        BlobWriter::open(digest, size, place)
    }

    /// All blobs with their sizes in bytes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for directory in [self.root.join("pending"), self.root.clone()] {
            for name in pending::names(&directory)? {
                let Some(digest) = digest_of(&name) else { continue };
                if let Ok(metadata) = directory.join(&name).metadata() {
                    blobs.push((digest, metadata.len()));
                }
            }
        }
        blobs.sort();
        blobs.dedup_by(|one, other| one.0 == other.0);
        Ok(blobs)
    }

    /// Removes a blob; one that is not here is no error.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<()> {
        for path in [self.root.join(digest.hex()), self.root.join("pending").join(digest.hex())] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &path, error)),
            }
        }
        Ok(())
    }

    /// Removes what was begun longer ago than `age` and is not being written; returns how many
    /// files and bytes.
    pub(crate) fn remove_partials(&self, age: std::time::Duration) -> Result<(u64, u64)> {
        let directory = self.root.join("partial");
        let resuming = lock(&self.resuming);
        let (mut count, mut bytes) = (0, 0);
        for name in pending::names(&directory)? {
            let path = directory.join(&name);
            let Ok(metadata) = path.metadata() else { continue };
            let old = metadata.modified().ok().and_then(|time| time.elapsed().ok());
            let busy = resuming.iter().any(|digest| digest.hex() == name) || name.contains('.');
            if !busy && old.is_some_and(|old| old >= age) {
                fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
                count += 1;
                bytes += metadata.len();
            }
        }
        Ok((count, bytes))
    }

    /// A blob moves from pending to durable at any time, never back: look there last again.
    fn find<T>(&self, digest: &Digest, look: impl Fn(&PathBuf) -> io::Result<T>) -> Result<T> {
        let durable = self.root.join(digest.hex());
        let pending = self.root.join("pending").join(digest.hex());
        for path in [&durable, &pending, &durable] {
            match look(path) {
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("open", path, error)),
            }
        }
        Err(Error::NotFound { noun: "blob", name: digest.to_string() })
    }
}

/// The digest a file name stands for.
pub(crate) fn digest_of(name: &str) -> Option<Digest> {
    let algorithm = if name.len() == 128 { "sha512" } else { "sha256" };
    Digest::parse(&format!("{algorithm}:{name}")).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
