//! Work that several callers wait for together, and that ends when the last of them has gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::Digest;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Reader};
use super::error::ImageError;
use super::progress::ImageEvent;
use crate::error::Result;

/// One pull or load under way.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) board: Arc<Board>,
    pub(super) cancelled: CancellationToken,
    /// How many [`Progress`] there are; guarded by this lock so that the last one to go and the
    /// next one to come agree.
    waiting: Mutex<usize>,
}

impl Job {
    /// A job that nobody else can join, and who waits for it.
    pub(super) fn begin() -> (Progress, Arc<Self>) {
        let job = Arc::new(Self { waiting: Mutex::new(1), ..Self::default() });
        let reader = Reader::new(Arc::clone(&job.board));
        (Progress { reader, job: Arc::clone(&job) }, job)
    }

    /// Ends the job, whose outcome may be on the board already. Threads that still run see that and
    /// stop.
    pub(super) fn end(&self, operation: &'static str, object: String) {
        self.cancelled.cancel();
        self.board.finish(Err(ImageError::Broken { operation, object }));
    }

    /// Another one who waits; `None` when the job is given up already.
    pub(super) fn join(self: &Arc<Self>) -> Option<Progress> {
        let mut waiting = lock(&self.waiting);
        if self.cancelled.is_cancelled() {
            return None;
        }
        *waiting += 1;
        let reader = Reader::new(Arc::clone(&self.board));
        Some(Progress { reader, job: Arc::clone(self) })
    }
}

/// A pull or a load that goes on. Dropping it gives it up, unless somebody else waits for the same
/// image.
#[derive(Debug)]
pub struct Progress {
    reader: Reader,
    job: Arc<Job>,
}

impl Progress {
    /// The next piece of news; `None` at the end. An error is the last item. Cancelling the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Result<ImageEvent>> {
        self.reader.next().await.map(|event| event.map_err(Into::into))
    }

    /// Waits for the end without looking at the news; the last image pulled or loaded.
    ///
    /// # Errors
    /// Why the pull or load failed.
    pub async fn finish(mut self) -> Result<Option<Digest>> {
        let mut last = None;
        while let Some(event) = self.next().await {
            if let ImageEvent::Pulled { image, .. } | ImageEvent::Loaded { image, .. } = event? {
                last = Some(image);
            }
        }
        Ok(last)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut waiting = lock(&self.job.waiting);
        *waiting -= 1;
        if *waiting == 0 {
            self.job.cancelled.cancel();
        }
    }
}

/// The jobs under way, by what they do.
#[derive(Debug)]
pub(super) struct Jobs<K> {
    running: Mutex<HashMap<K, Arc<Job>>>,
}

impl<K> Default for Jobs<K> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone> Jobs<K> {
    /// Joins the job of that key, or makes one, which the caller then has to begin.
    pub(super) fn join(&self, key: &K) -> (Progress, Option<Arc<Job>>) {
        let mut running = lock(&self.running);
        if let Some(progress) = running.get(key).and_then(Job::join) {
            return (progress, None);
        }
        let (progress, job) = Job::begin();
        running.insert(key.clone(), Arc::clone(&job));
        (progress, Some(job))
    }

    /// Forgets a job that has ended, unless another one took its place.
    pub(super) fn leave(&self, key: &K, job: &Arc<Job>) {
        let mut running = lock(&self.running);
        if running.get(key).is_some_and(|other| Arc::ptr_eq(other, job)) {
            running.remove(key);
        }
    }
}

/// One lock per layer, so that two pulls fetch a layer that both need once.
#[derive(Debug, Default)]
pub(super) struct LayerLocks {
    locks: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl LayerLocks {
    /// Waits until nobody else works on the layer.
    pub(super) async fn lock(&self, diff_id: &Digest) -> tokio::sync::OwnedMutexGuard<()> {
        let layer = {
            let mut locks = lock(&self.locks);
            // Locks that nobody holds or waits for are only known here.
            locks.retain(|_, layer| Arc::strong_count(layer) > 1);
            Arc::clone(locks.entry(diff_id.clone()).or_default())
        };
        layer.lock_owned().await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
