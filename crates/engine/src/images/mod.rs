//! Images: pull, load, list, inspect, tag, remove, and those built in.
//!
//! ```text
//! pull ─ resolve ─┬ layer ─ network stream ─┬► blob file (resumable, verified)     ┐
//!                 ├ layer …                 └► bounded channel ► unpacker (thread) ├► record, durable
//!                 └ up to 4 at once; what is here already is skipped               ┘
//! ```
//!
//! Invariants: an image is recorded only when all its blobs and layers are durable; a pull given up
//! leaves nothing but partial blobs to resume from; pulls of one image at the same time share the
//! work, and so do pulls of images that share a layer.

mod board;
mod builtin;
mod error;
mod image;
mod job;
mod load;
mod meter;
mod progress;
mod pull;
mod query;
mod remove;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use oci::Reference;
use registry::Client;
use storage::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::event::{Action, Events, Subject};

pub use error::ImageError;
pub use image::{HistoryLine, Image, ImageFilter, ImageUser, Removal, RemoveOptions};
pub use job::Progress;
pub use progress::{ImageEvent, LayerStatus};
pub use pull::PullRequest;

/// The images of this host.
#[derive(Debug)]
pub struct Images {
    store: Arc<Store>,
    client: Client,
    events: Events,
    tasks: TaskTracker,
    closing: CancellationToken,
    pulls: job::Jobs<PullRequest>,
    layer_locks: Arc<job::LayerLocks>,
}

impl Images {
    /// Over an open store and a registry client; what happens is told to `events`.
    #[must_use]
    pub fn new(store: Arc<Store>, client: Client, events: Events) -> Arc<Self> {
        Arc::new(Self {
            store,
            client,
            events,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            pulls: job::Jobs::default(),
            layer_locks: Arc::default(),
        })
    }

    /// Pulls an image. A built-in one (`hello`) comes out of this program, without any network.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn pull(self: &Arc<Self>, request: PullRequest) -> Progress {
        let (progress, begin) = self.pulls.join(&request);
        if let Some(job) = begin {
            drop(self.tasks.spawn(Arc::clone(self).run_pull(request, job)));
        }
        progress
    }

    /// Loads the images of a tar archive: what `docker save` writes, or an OCI layout; plain or
    /// compressed by gzip or zstd. The reader is read in a thread of its own.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn load(self: &Arc<Self>, archive: Box<dyn Read + Send>) -> Progress {
        let (progress, job) = job::Job::begin();
        drop(self.tasks.spawn(Arc::clone(self).run_load(archive, job)));
        progress
    }

    /// Removes layers and blobs that no image, container, pull or load needs: what killed pulls and
    /// failed loads left, and what outlived its image for a container's sake. Returns the bytes
    /// that are free once the trash is empty.
    ///
    /// # Errors
    /// When something cannot be read or renamed; what could be removed is.
    pub async fn collect_garbage(&self) -> Result<u64, Error> {
        // Snapshots of containers are not ours to judge: every one of them is kept.
        let collect = |store: &Store| store.collect_garbage(&|_| true);
        let collected = self.blocking("remove", "what no image needs", collect).await?;
        if collected.blobs + collected.layers > 0 {
            tracing::info!(
                blobs = collected.blobs,
                layers = collected.layers,
                bytes = collected.bytes,
                "removed what no image needs"
            );
        }
        Ok(collected.bytes)
    }

    /// Ends when the images are given up: whoever feeds a load must let go of it then.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// Gives up what is under way and waits until all its threads have ended.
    pub async fn shutdown(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs a call of the store in a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        object: &str,
        call: impl FnOnce(&Store) -> storage::Result<T> + Send + 'static,
    ) -> Result<T, ImageError> {
        let store = Arc::clone(&self.store);
        match self.tasks.spawn_blocking(move || call(&store)).await {
            Ok(result) => result.map_err(ImageError::storage(operation, object)),
            Err(_) => Err(ImageError::Cancelled { operation, object: object.to_owned() }),
        }
    }

    fn announce(&self, action: Action, id: &str, name: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
        self.events.publish(Subject::Image, action, id, attributes);
    }

    fn announce_pull(&self, reference: &Reference) {
        self.announce(Action::Pull, &reference.familiar(), &reference.familiar_name());
    }
}
