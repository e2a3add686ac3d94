//! Reading an image archive: one pass, nothing believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use oci::{Algorithm, Digest, Hasher};
use storage::archive::{Kind, Reader};
use storage::{ArchiveError, Lease, Store};
use tokio_util::sync::CancellationToken;

use super::Cancellable;
use crate::images::error::{ImageError, Result};

/// The longest document, in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;
/// The most bytes of documents and names that are kept of one archive.
const MAX_HELD: u64 = 64 << 20;
/// What an entry takes besides, in bytes, roughly.
const ENTRY: u64 = 128;
/// Links followed to a file before we give up.
const MAX_LINKS: usize = 8;

/// What an archive has, by path.
#[derive(Debug, Default)]
pub(super) struct Archive {
    documents: HashMap<String, Vec<u8>>,
    files: HashMap<String, Scratch>,
    links: HashMap<String, String>,
    /// Where all files without a digest in their name lie, one behind the other.
    scratch: Option<Arc<File>>,
    /// Bytes in memory, and in the scratch file.
    held: u64,
    scratched: u64,
}

/// A file of the archive without a digest in its name.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    file: Arc<File>,
    start: u64,
    /// Its bytes' digest.
    pub(super) digest: Digest,
    /// Their number.
    pub(super) size: u64,
}

impl Scratch {
    /// Its bytes from the beginning.
    pub(super) fn reader(&self) -> ScratchReader {
        ScratchReader {
            file: Arc::clone(&self.file),
            position: self.start,
            end: self.start + self.size,
        }
    }
}

/// Reads one file within the scratch file.
#[derive(Debug)]
pub(super) struct ScratchReader {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for ScratchReader {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = space.len().min(left);
        let count =
            self.file.read_at(space.get_mut(..length).unwrap_or_default(), self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Archive {
    /// Reads the stream to its end. Blobs named by digest are in the store afterwards.
    pub(super) fn read(
        store: &Store,
        lease: &Lease,
        stream: Box<dyn Read + Send>,
        cancelled: &CancellationToken,
    ) -> Result<Self> {
        let stream = Cancellable { inner: stream, cancelled: cancelled.clone() };
        let mut archive = Self::default();
        let mut tape = Reader::new(BufReader::new(decompress(stream).map_err(broken)?));
        while let Some(entry) = tape.next_entry().map_err(broken)? {
            let path = normalize(&String::from_utf8_lossy(&entry.path));
            let target = String::from_utf8_lossy(&entry.link);
            archive.hold(ENTRY + (path.len() + target.len()) as u64)?;
            match entry.kind {
                Kind::Symlink => archive.link(&path, &target, true),
                Kind::HardLink => archive.link(&path, &target, false),
                Kind::File if entry.segments.is_some() => {
                    return Err(invalid(&format!("{path} is a sparse file")));
                }
                Kind::File => {
                    archive.file(store, lease, (path, entry.size), &mut tape.contents())?;
                }
                _ => {}
            }
        }
        Ok(archive)
    }

    /// Counts what is kept in memory of a stranger's archive.
    fn hold(&mut self, bytes: u64) -> Result<()> {
        self.held += bytes;
        if self.held > MAX_HELD {
            return Err(invalid("it has too many entries and documents"));
        }
        Ok(())
    }

    /// A document by path, links followed.
    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        let path = self.follow(path);
        self.documents.get(&path).map(Vec::as_slice)
    }

    /// A file by path, links followed.
    pub(super) fn file_at(&self, path: &str) -> Option<Scratch> {
        self.files.get(&self.follow(path)).cloned()
    }

    fn link(&mut self, path: &str, target: &str, relative: bool) {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let target =
            if relative { normalize(&format!("{parent}/{target}")) } else { normalize(target) };
        self.links.insert(path.to_owned(), target);
    }

    fn follow(&self, path: &str) -> String {
        let mut path = normalize(path);
        for _ in 0..MAX_LINKS {
            let Some(target) = self.links.get(&path) else { break };
            path.clone_from(target);
        }
        path
    }

    fn file(
        &mut self,
        store: &Store,
        lease: &Lease,
        (path, size): (String, u64),
        entry: &mut dyn Read,
    ) -> Result<()> {
        if let Some(digest) = blob_digest(&path) {
            lease.hold(&digest);
            return blob(store, &digest, size, entry);
        }
        if path.rsplit('.').next() == Some("tar") {
            let scratch = self.scratch(store, size, entry)?;
            self.files.insert(path, scratch);
        } else if size <= MAX_DOCUMENT && is_document(&path) {
            self.hold(size)?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(unreadable("archive"))?;
            self.documents.insert(path, bytes);
        }
        Ok(())
    }

    fn scratch(&mut self, store: &Store, size: u64, entry: &mut dyn Read) -> Result<Scratch> {
        let file = match &self.scratch {
            Some(file) => Arc::clone(file),
            None => {
                let file = store.content().scratch();
                let file = Arc::new(file.map_err(ImageError::storage("read", "archive"))?);
                Arc::clone(self.scratch.insert(file))
            }
        };
        let start = self.scratched;
        let mut hashing = Hashing { file: &file, hasher: Hasher::new(Algorithm::Sha256) };
        self.scratched += io::copy(entry, &mut hashing).map_err(unreadable("archive"))?;
        if self.scratched != start + size {
            return Err(invalid("it is truncated"));
        }
        let digest = hashing.hasher.finish();
        Ok(Scratch { file, start, digest, size })
    }
}

/// The digest in `blobs/<algorithm>/<hex>`.
pub(super) fn blob_digest(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

pub(super) fn invalid(reason: &str) -> ImageError {
    ImageError::Archive { reason: reason.to_owned() }
}

fn broken(error: impl std::error::Error) -> ImageError {
    ImageError::Archive { reason: stdx::chain(&error) }
}

/// What went wrong between archive and disk: the archive is to blame only for what it says.
fn unreadable(object: &str) -> impl FnOnce(io::Error) -> ImageError {
    move |error| match error.get_ref().and_then(|cause| cause.downcast_ref::<ArchiveError>()) {
        Some(cause) => broken(cause),
        None => ImageError::io("read", object)(error),
    }
}

fn is_document(path: &str) -> bool {
    path.ends_with(".json") || matches!(path, "oci-layout" | "repositories")
}

fn blob(store: &Store, digest: &Digest, size: u64, entry: &mut dyn Read) -> Result<()> {
    if store.content().has(digest) {
        return Ok(());
    }
    let failed = || ImageError::storage("write blob", digest.to_string());
    let mut writer = store.content().writer(digest, Some(size)).map_err(failed())?;
    writer.restart().map_err(failed())?;
    io::copy(entry, &mut writer).map_err(unreadable(digest.as_str()))?;
    writer.commit().map_err(|error| match error {
        storage::Error::WrongDigest { .. } => invalid(&format!("blob {digest} has another digest")),
        other => failed()(other),
    })
}

struct Hashing<'a> {
    file: &'a File,
    hasher: Hasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A path without `.`, `..` and doubled slashes. It names things within the archive only.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The archive's plain bytes: gzip and zstd are recognized by their first bytes.
fn decompress(stream: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut stream = BufReader::with_capacity(128 << 10, stream);
    let start = stream.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(stream)?),
        _ => Box::new(stream),
    })
}

#[cfg(test)]
mod tests {
    use super::{blob_digest, normalize};

    #[test]
    fn paths_stay_within_the_archive() {
        for (path, expected) in [
            ("./a//b", "a/b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../b.tar", "b.tar"),
            ("/manifest.json", "manifest.json"),
        ] {
            assert_eq!(normalize(path), expected);
        }
    }

    #[test]
    fn only_whole_digests_name_blobs() {
        let hex = "a".repeat(64);
        assert!(blob_digest(&format!("blobs/sha256/{hex}")).is_some());
        for path in ["blobs/sha256/abc", "blobs/md5/abc", "blobs/sha256", "blob/sha256/x"] {
            assert_eq!(blob_digest(path), None);
        }
    }
}
