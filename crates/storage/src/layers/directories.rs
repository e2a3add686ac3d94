//! Layers as directories, for overlay.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Digest;
use stdx::ErrorKind;

use super::{Lower, Snapshotter, UnpackedLayer, pipe, unpack};
use crate::content::digest_of;
use crate::garbage::Leases;
use crate::trash::{Trash, make_directory};
use crate::{Error, Layout, Result, pending};

/// Unpacks each layer into a directory of its own.
#[derive(Debug)]
pub(crate) struct Directories {
    root: PathBuf,
    trash: Arc<Trash>,
    leases: Arc<Leases>,
}

/// What is written beside a layer's files.
const RECORD: &str = "layer.json";
/// The layer's files.
const FILES: &str = "fs";

impl Directories {
    pub(crate) fn new(layout: &Layout, trash: Arc<Trash>, leases: Arc<Leases>) -> Self {
        Self { root: layout.layers(), trash, leases }
    }

    /// Throws a layer away.
    pub(crate) fn discard(&self, diff_id: &Digest) -> Result<()> {
        self.trash.take(&self.root.join(diff_id.hex()))?;
        self.trash.take(&self.root.join("pending").join(diff_id.hex()))?;
        Ok(())
    }

    /// Whether the layer may be lost by a power cut.
    pub(crate) fn is_pending(&self, diff_id: &Digest) -> bool {
        !self.root.join(diff_id.hex()).exists()
    }

    /// A layer moves from pending to durable at any time, never back: look there last again.
    fn find(&self, diff_id: &Digest) -> Option<(PathBuf, UnpackedLayer)> {
        let durable = self.root.join(diff_id.hex());
        let pending = self.root.join("pending").join(diff_id.hex());
        [&durable, &pending, &durable].into_iter().find_map(|directory| {
            let bytes = fs::read(directory.join(RECORD)).ok()?;
            let layer: UnpackedLayer = serde_json::from_slice(&bytes).ok()?;
            Some((directory.clone(), layer))
        })
    }

    fn fill(
        &self,
        directory: &Path,
        reader: &mut (dyn Read + Send),
        diff_id: &Digest,
    ) -> Result<UnpackedLayer> {
        let files = directory.join(FILES);
        make_directory(directory, 0o710)?;
        make_directory(&files, 0o755)?;
        let empty = UnpackedLayer { diff_id: diff_id.clone(), size: 0, entries: 0, opaque: false };
        let layer = pipe::decoded(reader, diff_id, |stream| {
            unpack::unpack(stream, &files, &self.trash, empty)
        })
        .map_err(|source| Error::Layer { diff_id: diff_id.clone(), source })?;
        let record = directory.join(RECORD);
        serde_json::to_vec(&layer)
            .map_err(std::io::Error::from)
            .and_then(|bytes| fs::write(&record, bytes))
            .map_err(|source| Error::io("write", &record, source))?;
        Ok(layer)
    }

    fn publish(&self, directory: &Path, diff_id: &Digest) -> Result<()> {
        self.leases.committed(diff_id);
        let to = self.root.join("pending").join(diff_id.hex());
        match fs::rename(directory, &to) {
            Ok(()) => Ok(()),
            // Somebody else was faster; the two are equal.
            Err(_) if self.has(diff_id) => self.trash.take(directory).map(|_| ()),
            Err(source) => Err(Error::io("rename", directory, source)),
        }
    }
}

impl Snapshotter for Directories {
    fn has(&self, diff_id: &Digest) -> bool {
        self.find(diff_id).is_some()
    }

    fn get(&self, diff_id: &Digest) -> Option<UnpackedLayer> {
        self.find(diff_id).map(|(_, layer)| layer)
    }

    fn unpack(&self, reader: &mut (dyn Read + Send), diff_id: &Digest) -> Result<UnpackedLayer> {
        if let Some(layer) = self.get(diff_id) {
            self.leases.committed(diff_id);
            return Ok(layer);
        }
        let name = stdx::hex::encode(&stdx::random::bytes::<8>());
        let directory = self.root.join("partial").join(name);
        let result = self
            .fill(&directory, reader, diff_id)
            .and_then(|layer| self.publish(&directory, diff_id).map(|()| layer));
        if let Err(error) = &result {
            if error.kind() != ErrorKind::Exhausted {
                tracing::debug!(diff_id = %diff_id, "removing what was unpacked of a layer");
            }
            if let Err(error) = self.trash.remove(&directory) {
                tracing::warn!(error = stdx::chain(&error), "cannot remove a broken layer");
            }
        }
        result
    }

    fn lower(&self, diff_id: &Digest) -> Result<Lower> {
        match self.find(diff_id) {
            Some((directory, _)) => Ok(Lower::Directory(directory.join(FILES))),
            None => Err(Error::NotFound { noun: "layer", name: diff_id.to_string() }),
        }
    }

    fn list(&self) -> Result<Vec<UnpackedLayer>> {
        let mut layers = Vec::new();
        for directory in [self.root.join("pending"), self.root.clone()] {
            for name in pending::names(&directory)? {
                layers.extend(digest_of(&name).and_then(|diff_id| self.get(&diff_id)));
            }
        }
        layers.sort_by(|one, other| one.diff_id.cmp(&other.diff_id));
        layers.dedup_by(|one, other| one.diff_id == other.diff_id);
        Ok(layers)
    }
}
