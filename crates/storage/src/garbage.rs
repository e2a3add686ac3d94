//! Removing what nobody refers to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oci::Digest;

use crate::layers::{Directories, Snapshotter};
use crate::{Content, Images, Result, Snapshots};

/// A pull that was cut off may be resumed for a day.
const PARTIAL_AGE: Duration = Duration::from_hours(24);

/// Keeps content and layers from being collected while a pull is under way. Everything committed
/// by anybody while a lease exists is kept until no lease is left; what was there before must be
/// named by [`Self::hold`] *before* asking whether it is there.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    held: Mutex<Vec<Digest>>,
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed, whole and partial.
    pub blobs: u64,
    /// Layers removed.
    pub layers: u64,
    /// Snapshots of containers that do not exist removed.
    pub snapshots: u64,
    /// Bytes freed, once the trash is empty.
    pub bytes: u64,
}

/// The leases of a store.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    live: usize,
    held: HashMap<Digest, usize>,
    committed: HashSet<Digest>,
}

impl Leases {
    pub(crate) fn take(self: &Arc<Self>) -> Lease {
        self.state().live += 1;
        Lease { leases: Arc::clone(self), held: Mutex::default() }
    }

    /// To be called before a blob or layer becomes visible.
    pub(crate) fn committed(&self, digest: &Digest) {
        let mut state = self.state();
        if state.live > 0 {
            state.committed.insert(digest.clone());
        }
    }

    /// While the guard lives nothing new can be held: a collection decides and removes under it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn keeps(&self, digest: &Digest) -> bool {
        self.held.contains_key(digest) || self.committed.contains(digest)
    }
}

impl Lease {
    /// Keeps a blob or layer, which need not be there yet.
    pub fn hold(&self, digest: &Digest) {
        *self.leases.state().held.entry(digest.clone()).or_insert(0) += 1;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.state();
        for digest in self.held.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(count) = state.held.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(&digest);
                }
            }
        }
        state.live -= 1;
        if state.live == 0 {
            state.committed.clear();
        }
    }
}

/// What a collection looks at.
pub(crate) struct Parts<'a> {
    pub(crate) images: &'a Images,
    pub(crate) content: &'a Content,
    pub(crate) layers: &'a Directories,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) leases: &'a Leases,
}

/// Marks from images, containers and leases, then removes the rest. While it runs no lease can be
/// taken and nothing can be committed, so what it does not find marked has no user.
pub(crate) fn collect(parts: &Parts<'_>, exists: &dyn Fn(&str) -> bool) -> Result<Collected> {
    let state = parts.leases.state();
    let mut collected = Collected::default();
    let mut used: HashSet<Digest> = HashSet::new();
    let mut certain = true;
    for id in parts.snapshots.list()? {
        if !exists(&id) {
            collected.bytes += parts.snapshots.usage(&id).unwrap_or_default().size;
            parts.snapshots.remove(&id)?;
            collected.snapshots += 1;
        } else if let Some(diff_ids) = parts.snapshots.diff_ids(&id) {
            used.extend(diff_ids);
        } else {
            certain = false;
        }
    }
    for image in parts.images.list()? {
        used.extend(image.kept().cloned());
    }
    let unused = |digest: &Digest| !used.contains(digest) && !state.keeps(digest);
    for (digest, size) in parts.content.list()? {
        if unused(&digest) {
            parts.content.remove(&digest)?;
            collected.blobs += 1;
            collected.bytes += size;
        }
    }
    // A container whose layers cannot be told may stand on any of them.
    for layer in if certain { parts.layers.list()? } else { Vec::new() } {
        if unused(&layer.diff_id) {
            parts.layers.discard(&layer.diff_id)?;
            collected.layers += 1;
            collected.bytes += layer.size;
        }
    }
    let (count, bytes) = parts.content.remove_partials(PARTIAL_AGE)?;
    collected.blobs += count;
    collected.bytes += bytes;
    Ok(collected)
}
