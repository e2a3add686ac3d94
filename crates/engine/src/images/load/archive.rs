//! Reading an image archive: one pass, nothing believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use oci::{Algorithm, Digest, Hasher};
use storage::{Lease, Store};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use super::Cancellable;
use crate::images::error::{ImageError, Result};

/// The longest document, in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;
/// The most bytes of documents that one archive may have.
const MAX_DOCUMENTS: u64 = 64 << 20;
/// Links followed to a file before we give up.
const MAX_LINKS: usize = 8;

/// What an archive has, by path.
#[derive(Debug, Default)]
pub(super) struct Archive {
    documents: HashMap<String, Vec<u8>>,
    files: HashMap<String, Scratch>,
    links: HashMap<String, String>,
    read: u64,
}

/// A file of the archive without a digest in its name.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Its bytes.
    pub(super) file: File,
    /// Their digest.
    pub(super) digest: Digest,
    /// Their number.
    pub(super) size: u64,
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
        let mut tape = tar::Archive::new(decompress(stream).map_err(broken)?);
        for entry in tape.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = normalize(&String::from_utf8_lossy(&entry.path_bytes()));
            let target = entry.link_name_bytes();
            let target = target.map(|name| String::from_utf8_lossy(&name).into_owned());
            match entry.header().entry_type() {
                EntryType::Symlink => archive.link(&path, target.as_deref(), true),
                EntryType::Link => archive.link(&path, target.as_deref(), false),
                EntryType::Regular | EntryType::Continuous => {
                    let size = entry.size();
                    archive.file(store, lease, (path, size), &mut entry)?;
                }
                _ => {}
            }
        }
        Ok(archive)
    }

    /// A document by path, links followed.
    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        let path = self.follow(path);
        self.documents.get(&path).map(Vec::as_slice)
    }

    /// Takes a file out of the archive; two names of one file give it twice.
    pub(super) fn file_at(&self, path: &str) -> Result<Option<Scratch>> {
        let Some(found) = self.files.get(&self.follow(path)) else { return Ok(None) };
        let file = found.file.try_clone().map_err(ImageError::io("open", path))?;
        Ok(Some(Scratch { file, digest: found.digest.clone(), size: found.size }))
    }

    fn link(&mut self, path: &str, target: Option<&str>, relative: bool) {
        let Some(target) = target else { return };
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
            let scratch = scratch(store, size, entry)?;
            self.files.insert(path, scratch);
        } else if size <= MAX_DOCUMENT && is_document(&path) {
            self.read += size;
            if self.read > MAX_DOCUMENTS {
                return Err(invalid("it has too many documents"));
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(broken)?;
            self.documents.insert(path, bytes);
        }
        Ok(())
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
    io::copy(entry, &mut writer).map_err(ImageError::io("read", digest.to_string()))?;
    writer.commit().map_err(|error| match error {
        storage::Error::WrongDigest { .. } => invalid(&format!("blob {digest} has another digest")),
        other => failed()(other),
    })
}

fn scratch(store: &Store, size: u64, entry: &mut dyn Read) -> Result<Scratch> {
    let file = store.content().scratch().map_err(ImageError::storage("read", "archive"))?;
    let mut hashing = Hashing { file, hasher: Hasher::new(Algorithm::Sha256) };
    let copied = io::copy(entry, &mut hashing).map_err(ImageError::io("read", "archive"))?;
    if copied != size {
        return Err(invalid("it is truncated"));
    }
    Ok(Scratch { file: hashing.file, digest: hashing.hasher.finish(), size })
}

struct Hashing {
    file: File,
    hasher: Hasher,
}

impl Write for Hashing {
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
