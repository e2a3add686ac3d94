//! Pulling: from a name at a registry to an image on disk.

mod layer;
mod tee;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use oci::image::ImageConfig;
use oci::{Digest, Platform, Reference};
use registry::{Credentials, Resolved};
use storage::{ImageRecord, LayerRecord, Lease, Store};

use self::layer::{Fetcher, Layer};
use super::error::{ImageError, Result};
use super::job::Job;
use super::{Images, builtin};
use crate::images::progress::{ImageEvent, LayerStatus};

/// Layers of one image that are fetched at once.
const PARALLEL: usize = 4;

/// What to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Which image.
    pub reference: Reference,
    /// For which platform; `None` = this host's.
    pub platform: Option<Platform>,
    /// Who we are to the image's registry.
    pub credentials: Option<Credentials>,
}

/// Equal requests share their work; other credentials are another request.
impl Hash for PullRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reference.hash(state);
    }
}

/// What a pull gave.
struct Outcome {
    target: Digest,
    image: Digest,
    changed: bool,
}

/// The end of a pull that panicked: nobody waits for it, or joins it.
struct Ending<'a> {
    images: &'a Images,
    request: &'a PullRequest,
    job: &'a Arc<Job>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.images.pulls.leave(self.request, self.job);
        self.job.end("pull", self.request.reference.familiar());
    }
}

impl Images {
    /// Does the pull and writes its end on the board.
    pub(super) async fn run_pull(self: Arc<Self>, request: PullRequest, job: Arc<Job>) {
        let _ending = Ending { images: &self, request: &request, job: &job };
        let reference = &request.reference;
        let cancelled =
            || ImageError::Cancelled { operation: "pull", object: reference.familiar() };
        let outcome = tokio::select! {
            biased;
            () = job.cancelled.cancelled() => Err(cancelled()),
            () = self.closing.cancelled() => Err(cancelled()),
            outcome = Box::pin(self.pull_image(&request, &job)) => outcome,
        };
        // Threads that still run see this and stop. Whoever asks again begins anew.
        job.cancelled.cancel();
        self.pulls.leave(&request, &job);
        job.board.finish(outcome.map(|outcome| {
            self.announce_pull(reference);
            job.board.publish(ImageEvent::Pulled {
                reference: reference.clone(),
                digest: outcome.target,
                image: outcome.image,
                changed: outcome.changed,
            });
        }));
    }

    async fn pull_image(&self, request: &PullRequest, job: &Arc<Job>) -> Result<Outcome> {
        let reference = &request.reference;
        job.board.publish(ImageEvent::Resolving { reference: reference.clone() });
        if let Some(program) = builtin::find(reference) {
            return self.install(program).await;
        }
        let lease = Arc::new(self.store.lease());
        let known = self.known(reference).await?;
        let resolved = self.resolve(request, known.as_ref()).await?;
        check_platform(request, &resolved.image)?;
        hold(&lease, &resolved);
        let fetcher = Fetcher {
            store: Arc::clone(&self.store),
            client: self.client.clone(),
            tasks: self.tasks.clone(),
            locks: Arc::clone(&self.layer_locks),
            board: Arc::clone(&job.board),
            cancelled: job.cancelled.clone(),
            lease,
        };
        fetch_layers(&fetcher, &resolved).await?;
        self.record(fetcher, resolved, known).await
    }

    async fn known(&self, reference: &Reference) -> Result<Option<ImageRecord>> {
        let name = reference.to_string();
        let object = reference.familiar();
        self.blocking("look up", &object, move |store| match store.images().resolve(&name) {
            Ok(record) => Ok(Some(record)),
            Err(storage::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn resolve(
        &self,
        request: &PullRequest,
        known: Option<&ImageRecord>,
    ) -> Result<Resolved> {
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        // Documents are a few kilobytes; reading one is no longer than a packet's processing.
        let look_up = |digest: &Digest| self.store.content().read(digest).ok();
        let local: Option<registry::LocalContent<'_>> = known.is_some().then_some(&look_up);
        let credentials = request.credentials.as_ref();
        self.client
            .resolve(&request.reference, &platform, credentials, local)
            .await
            .map_err(ImageError::Registry)
    }

    /// Writes documents and record. The image is here when this returns, whatever happens then.
    async fn record(
        &self,
        fetcher: Fetcher,
        resolved: Resolved,
        known: Option<ImageRecord>,
    ) -> Result<Outcome> {
        let target = resolved.target.digest.clone();
        let image = resolved.config_descriptor.digest.clone();
        let object = resolved.reference.familiar();
        let lease = fetcher.lease;
        let changed = self
            .blocking("store", &object, move |store| {
                let _lease = lease;
                store_image(store, resolved, known)
            })
            .await?;
        Ok(Outcome { target, image, changed })
    }

    async fn install(&self, program: &'static builtin::Program) -> Result<Outcome> {
        let installed =
            self.blocking("store", program.name, move |store| builtin::install(store, program));
        let (target, image, changed) = installed.await?;
        Ok(Outcome { target, image, changed })
    }
}

async fn fetch_layers(fetcher: &Fetcher, resolved: &Resolved) -> Result<()> {
    let diff_ids = resolved.image.rootfs.diff_ids.iter().cloned();
    let layers: Vec<Layer> = resolved
        .layers
        .iter()
        .cloned()
        .zip(diff_ids)
        .map(|(descriptor, diff_id)| Layer { descriptor, diff_id })
        .collect();
    for layer in &layers {
        let here = fetcher.store.layers().has(&layer.diff_id);
        if !here {
            fetcher.meter(layer).tell(LayerStatus::PullingFsLayer, 0);
        }
    }
    stream::iter(&layers)
        .map(|layer| Ok(fetcher.fetch(resolved, layer)))
        .try_for_each_concurrent(PARALLEL, |fetching| fetching)
        .await
}

/// What a collection must not take while the pull goes on.
fn hold(lease: &Lease, resolved: &Resolved) {
    lease.hold(&resolved.target.digest);
    lease.hold(&resolved.descriptor.digest);
    lease.hold(&resolved.config_descriptor.digest);
    for layer in &resolved.layers {
        lease.hold(&layer.digest);
    }
    for diff_id in &resolved.image.rootfs.diff_ids {
        lease.hold(diff_id);
    }
}

/// A single manifest may be for any platform; one that was asked for by name must be that.
fn check_platform(request: &PullRequest, image: &ImageConfig) -> Result<()> {
    let Some(wanted) = &request.platform else { return Ok(()) };
    let actual = image.platform();
    if image.architecture.is_empty() || wanted.matches(&actual) {
        return Ok(());
    }
    Err(ImageError::Platform {
        image: request.reference.familiar(),
        wanted: wanted.to_string(),
        actual: actual.to_string(),
    })
}

/// The names that a pull gives: a tag, and the digest it stood for.
fn names(reference: &Reference, target: &Digest) -> Vec<Reference> {
    let by_digest = reference.with_digest(target.clone());
    match reference.digest() {
        Some(_) => vec![by_digest],
        None => vec![reference.clone(), by_digest],
    }
}

/// Whether anything is new.
fn store_image(
    store: &Store,
    resolved: Resolved,
    known: Option<ImageRecord>,
) -> storage::Result<bool> {
    let names = names(&resolved.reference, &resolved.target.digest);
    let id = resolved.config_descriptor.digest.clone();
    let same = known.is_some_and(|known| {
        known.id == id
            && known.manifest.digest == resolved.descriptor.digest
            && names.iter().all(|name| known.names.contains(name))
    });
    if same {
        return Ok(false);
    }
    if let Some(index) = &resolved.index {
        store.content().write_as(&resolved.target.digest, index)?;
    }
    store.content().write_as(&resolved.descriptor.digest, &resolved.manifest)?;
    store.content().write_as(&id, &resolved.config)?;
    let mut size = 0;
    let mut layers = Vec::new();
    for (diff_id, blob) in resolved.image.rootfs.diff_ids.iter().zip(resolved.layers) {
        size += store.layers().get(diff_id).map_or(0, |layer| layer.size);
        let blob = store.content().has(&blob.digest).then_some(blob);
        layers.push(LayerRecord { diff_id: diff_id.clone(), blob });
    }
    let record = ImageRecord {
        id,
        manifest: resolved.descriptor,
        config: resolved.image,
        layers,
        size,
        stored_at: jiff::Timestamp::now().to_string(),
        names,
    };
    store.images().put(&record)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use oci::Reference;
    use storage::{Layout, Store};

    use super::{Ending, PullRequest};
    use crate::images::Images;

    #[tokio::test]
    async fn nobody_waits_for_a_pull_that_has_panicked() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(Layout::at_root(directory.path())).unwrap());
        let client = registry::Client::new(registry::Config::new());
        let images = Images::new(store, client, crate::Events::default());
        let reference = Reference::parse("app").unwrap();
        let request = PullRequest { reference, platform: None, credentials: None };
        let (progress, job) = images.pulls.join(&request);
        let job = job.unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ending = Ending { images: &images, request: &request, job: &job };
            panic!("for the test");
        }));
        panicked.unwrap_err();
        let error = progress.finish().await.unwrap_err();
        assert_eq!(error.to_string(), "pull of app:latest ended unexpectedly");
        assert!(job.cancelled.is_cancelled());
        assert!(images.pulls.join(&request).1.is_some(), "the next one begins anew");
    }
}
