//! Containers' own files above the image's layers.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linux::mount::OverlayOptions;
use oci::Digest;
use serde::{Deserialize, Serialize};

use crate::garbage::Leases;
use crate::layers::{Directories, Lower, Snapshotter};
use crate::pending::Pending;
use crate::trash::{Trash, make_directory};
use crate::{Error, Layout, Result, pending, tree};

/// How to mount a container's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RootMount {
    /// An overlay of directories.
    Overlay {
        /// The lower directories, topmost first; never empty.
        lowers: Vec<PathBuf>,
        /// The container's own files.
        upper: PathBuf,
        /// Overlay's work directory, on the same file system.
        work: PathBuf,
        /// Whether it may skip syncing; such an upper is not used twice.
        volatile: bool,
    },
}

/// What a tree of files takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The sum of the sizes of its files in bytes; hard links count once.
    pub size: u64,
    /// How many files and directories it has.
    pub inodes: u64,
}

/// What is written beside a snapshot: enough to mount it, and what it keeps from being collected.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    diff_ids: Vec<Digest>,
    mount: RootMount,
}

const RECORD: &str = "snapshot.json";

/// The snapshots of a store.
#[derive(Debug)]
pub struct Snapshots {
    root: PathBuf,
    empty_lower: PathBuf,
    layers: Arc<Directories>,
    pending: Arc<Pending>,
    trash: Arc<Trash>,
    leases: Arc<Leases>,
}

/// What snapshots are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) layers: Arc<Directories>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) trash: Arc<Trash>,
    pub(crate) leases: Arc<Leases>,
}

impl Snapshots {
    pub(crate) fn new(layout: &Layout, parts: Parts) -> Self {
        let Parts { layers, pending, trash, leases } = parts;
        let empty_lower = layout.layers().join("empty");
        Self { root: layout.snapshots(), empty_lower, layers, pending, trash, leases }
    }

    /// Makes the directories of a container above an image's layers, given by diff id, lowest
    /// first. `volatile` is for containers that are removed when they end.
    ///
    /// Nothing is synced here: what a power cut takes from a container that had just been made can
    /// be made again from its image by calling this again; files that are there are kept.
    /// [`crate::Store::collect_garbage`] takes it for garbage unless its `exists` knows the container,
    /// so the caller tells it of containers it is just making.
    ///
    /// # Errors
    /// `NotFound` when a layer is missing, `AlreadyExists` when the container has a snapshot,
    /// `InvalidInput` when `id` is not made of letters, digits, `_`, `.` and `-`.
    pub fn prepare_container(
        &self,
        id: &str,
        diff_ids: &[Digest],
        volatile: bool,
    ) -> Result<RootMount> {
        let directory = self.directory(id)?;
        if self.read(id).is_ok() {
            return Err(Error::AlreadyExists { noun: "snapshot", name: id.to_owned() });
        }
        // Until the record says so, nothing else tells a collection that they are needed.
        let lease = self.leases.take();
        diff_ids.iter().for_each(|diff_id| lease.hold(diff_id));
        if diff_ids.iter().any(|diff_id| self.layers.is_pending(diff_id)) {
            self.pending.sync(&self.trash)?;
        }
        let lowers = self.lowers(diff_ids)?;
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        make_directory(&directory, 0o710)?;
        // The container's root directory, whatever the layers have there.
        make_directory(&upper, 0o755)?;
        make_directory(&work, 0o700)?;
        let mount = RootMount::Overlay { lowers, upper, work, volatile };
        let record = Record { diff_ids: diff_ids.to_vec(), mount };
        let path = directory.join(RECORD);
        serde_json::to_vec(&record)
            .map_err(io::Error::from)
            .and_then(|bytes| stdx::fs::write_atomic(&path, &bytes, stdx::fs::Durability::Volatile))
            .map_err(|source| Error::io("write", &path, source))?;
        Ok(record.mount)
    }

    /// The mount of a container prepared earlier.
    ///
    /// # Errors
    /// `NotFound`: prepare it again.
    pub fn root_mount(&self, id: &str) -> Result<RootMount> {
        Ok(self.read(id)?.mount)
    }

    /// Mounts a container's root read-only and detached (nobody else sees it), for a look into it
    /// while it does not run: user look-up, copy-up of volumes.
    ///
    /// # Errors
    /// `NotFound`, or when the mount fails.
    pub fn view(&self, id: &str) -> Result<OwnedFd> {
        let RootMount::Overlay { lowers, upper, .. } = self.root_mount(id)?;
        let lowers: Vec<PathBuf> = std::iter::once(upper).chain(lowers).collect();
        mount(&lowers, &self.root.join(id))
    }

    /// As [`Snapshots::view`], to be written: the container must not run, nor begin to.
    ///
    /// # Errors
    /// `NotFound`, or when the mount fails.
    pub fn writable_view(&self, id: &str) -> Result<OwnedFd> {
        let RootMount::Overlay { lowers, upper, work, .. } = self.root_mount(id)?;
        let options = OverlayOptions {
            lowers: &lowers,
            upper: Some(&upper),
            work: Some(&work),
            volatile: false,
            user_attributes: false,
        };
        linux::mount::overlay(&options)
            .map_err(|error| Error::io("mount", &upper, io::Error::other(error)))
    }

    /// Mounts an image's layers (diff ids, lowest first) read-only and detached.
    ///
    /// # Errors
    /// `NotFound`, or when the mount fails.
    pub fn view_image(&self, diff_ids: &[Digest]) -> Result<OwnedFd> {
        let mut lowers = self.lowers(diff_ids)?;
        // Overlay wants two.
        lowers.push(self.empty_lower.clone());
        if let [one, two] = lowers.as_slice()
            && one == two
        {
            lowers.pop();
            return linux::mount::bind(&self.empty_lower, false)
                .map_err(|error| Error::io("mount", &self.empty_lower, io::Error::other(error)));
        }
        mount(&lowers, &self.root)
    }

    /// Removes a container's own files: renamed at once, removed by [`crate::Store::empty_trash`].
    /// One that does not exist is no error.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.trash.take(&self.directory(id)?).map(|_| ())
    }

    /// What the container's own files take.
    ///
    /// # Errors
    /// `NotFound`, or when the tree cannot be read.
    pub fn usage(&self, id: &str) -> Result<Usage> {
        let RootMount::Overlay { upper, .. } = self.root_mount(id)?;
        tree::usage(&upper)
    }

    /// The ids of all snapshots.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>> {
        pending::names(&self.root)
    }

    /// The layers a container stands on; `None` when that cannot be told.
    pub(crate) fn diff_ids(&self, id: &str) -> Option<Vec<Digest>> {
        Some(self.read(id).ok()?.diff_ids)
    }

    /// Topmost first. Overlay takes no directory twice, and of a layer that an image repeats only
    /// the topmost can be seen.
    fn lowers(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>> {
        let mut lowers = Vec::with_capacity(diff_ids.len());
        let mut seen = HashSet::new();
        for diff_id in diff_ids.iter().rev().filter(|diff_id| seen.insert(*diff_id)) {
            let Lower::Directory(lower) = self.layers.lower(diff_id)?;
            lowers.push(lower);
            if self.layers.get(diff_id).is_some_and(|layer| layer.opaque) {
                break;
            }
        }
        if lowers.is_empty() {
            lowers.push(self.empty_lower.clone());
        }
        Ok(lowers)
    }

    fn read(&self, id: &str) -> Result<Record> {
        let bytes = fs::read(self.directory(id)?.join(RECORD));
        let record = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        record.ok_or_else(|| Error::NotFound { noun: "snapshot", name: id.to_owned() })
    }

    fn directory(&self, id: &str) -> Result<PathBuf> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if id.is_empty() || id.len() > 128 || id.starts_with('.') || !id.bytes().all(plain) {
            let rule = "want up to 128 letters, digits, `_`, `.` or `-`, not starting with `.`";
            let name = id.chars().take(80).collect();
            return Err(Error::InvalidName { noun: "container", name, rule });
        }
        Ok(self.root.join(id))
    }
}

fn mount(lowers: &[PathBuf], object: &Path) -> Result<OwnedFd> {
    let options = OverlayOptions { lowers, ..OverlayOptions::default() };
    linux::mount::overlay(&options)
        .map_err(|error| Error::io("mount", object, io::Error::other(error)))
}
