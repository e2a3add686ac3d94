//! Loading: images out of an archive.
//!
//! ```text
//! stream ─► read: small documents in memory, blobs into the store, nameless layers into a scratch file
//!        ─► describe: manifest.json (docker save) or index.json (OCI layout) → what images there are
//!        ─► store: unpack the layers that are not here, write documents, record
//! ```
//! The archive is read once, from its beginning to its end, since it comes over a connection; the
//! document that explains the rest may be its last entry.

mod archive;
mod describe;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use oci::manifest::OCI_MANIFEST;
use oci::{Digest, Reference};
use storage::{ImageRecord, LayerRecord, Store};
use tokio_util::sync::CancellationToken;

use self::archive::Archive;
use self::describe::{Found, Source, describe};
use super::Images;
use super::error::{ImageError, Result};
use super::job::Job;
use super::meter::{Counted, Meter};
use super::progress::{ImageEvent, LayerStatus};
use crate::event::Action;

/// The end of a load that panicked.
struct Ending<'a>(&'a Job);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end("load", "archive".to_owned());
    }
}

impl Images {
    /// Does the load and writes its end on the board.
    pub(super) async fn run_load(self: Arc<Self>, archive: Box<dyn Read + Send>, job: Arc<Job>) {
        let _ending = Ending(&job);
        let (store, work) = (Arc::clone(&self.store), Arc::clone(&job));
        let loading = self.tasks.spawn_blocking(move || load(&store, archive, &work));
        let cancelled =
            || ImageError::Cancelled { operation: "load", object: "archive".to_owned() };
        let outcome = tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(cancelled()),
            loaded = loading => loaded.unwrap_or_else(|_| {
                Err(ImageError::Broken { operation: "load", object: "archive".to_owned() })
            }),
        };
        let outcome = match outcome {
            Err(_) if job.cancelled.is_cancelled() => Err(cancelled()),
            other => other,
        };
        job.cancelled.cancel();
        job.board.finish(outcome.map(|loaded| {
            for (image, names) in loaded {
                self.announce(Action::Load, image.as_str(), image.as_str());
                publish(&job, &image, names);
            }
        }));
    }
}

fn publish(job: &Job, image: &Digest, names: Vec<Reference>) {
    let mut names: Vec<Option<Reference>> = names.into_iter().map(Some).collect();
    if names.is_empty() {
        names.push(None);
    }
    for reference in names {
        job.board.publish(ImageEvent::Loaded { image: image.clone(), reference });
    }
}

type Loaded = Vec<(Digest, Vec<Reference>)>;

fn load(store: &Store, stream: Box<dyn Read + Send>, job: &Job) -> Result<Loaded> {
    let lease = store.lease();
    let archive = Archive::read(store, &lease, stream, &job.cancelled)?;
    let mut loaded = Loaded::new();
    for found in describe(store, archive)? {
        let names = found.names.clone();
        let image = install(store, found, job)?;
        loaded.push((image, names));
    }
    Ok(loaded)
}

fn install(store: &Store, found: Found, job: &Job) -> Result<Digest> {
    let mut size = 0;
    let mut layers = Vec::new();
    for (diff_id, source) in found.config.rootfs.diff_ids.iter().zip(found.layers) {
        let (blob, unpacked) = match source {
            Source::Blob(descriptor) => {
                let file = store.content().open(&descriptor.digest);
                let file = file.map_err(failed("open", descriptor.digest.as_str()))?;
                let unpacked = unpack(store, file, descriptor.size, diff_id, job)?;
                (Some(*descriptor), unpacked)
            }
            Source::Scratch(scratch) => {
                (None, unpack(store, scratch.reader(), scratch.size, diff_id, job)?)
            }
        };
        size += unpacked;
        layers.push(LayerRecord { diff_id: diff_id.clone(), blob });
    }
    let id = Digest::of(&found.config_bytes);
    let write = |digest: &Digest, bytes: &[u8]| {
        store.content().write_as(digest, bytes).map_err(failed("write", digest.as_str()))
    };
    write(&id, &found.config_bytes)?;
    write(&found.manifest.digest, &found.manifest_bytes)?;
    let mut manifest = found.manifest;
    if manifest.media_type.is_empty() {
        OCI_MANIFEST.clone_into(&mut manifest.media_type);
    }
    let record = ImageRecord {
        id: id.clone(),
        manifest,
        config: found.config,
        layers,
        size,
        stored_at: jiff::Timestamp::now().to_string(),
        names: found.names,
    };
    store.images().put(&record).map_err(failed("record", id.as_str()))?;
    Ok(id)
}

/// Returns the layer's size on disk, in bytes.
fn unpack(
    store: &Store,
    reader: impl Read + Send,
    length: u64,
    diff_id: &Digest,
    job: &Job,
) -> Result<u64> {
    let mut meter = Meter::new(Arc::clone(&job.board), diff_id.short(), length);
    if let Some(layer) = store.layers().get(diff_id) {
        meter.tell(LayerStatus::AlreadyExists, 0);
        return Ok(layer.size);
    }
    let mut counted = Counted {
        inner: reader,
        meter,
        count: 0,
        status: LayerStatus::Loading,
        downloaded: Arc::new(AtomicBool::new(true)),
        cancelled: job.cancelled.clone(),
    };
    let unpacked = store.layers().unpack(&mut counted, diff_id);
    let layer = unpacked.map_err(|error| ImageError::Layer(Arc::new(error)))?;
    counted.meter.tell(LayerStatus::PullComplete, 0);
    Ok(layer.size)
}

fn failed(operation: &'static str, digest: &str) -> impl FnOnce(storage::Error) -> ImageError {
    ImageError::storage(operation, digest.to_owned())
}

/// A reader that fails once nobody waits any more.
struct Cancellable<R> {
    inner: R,
    cancelled: CancellationToken,
}

impl<R: Read> Read for Cancellable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.cancelled.is_cancelled() {
            return Err(std::io::Error::other("the load was given up"));
        }
        self.inner.read(buffer)
    }
}
