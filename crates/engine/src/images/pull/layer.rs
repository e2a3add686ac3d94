//! One layer: found, fetched or taken from its blob, and unpacked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oci::Digest;
use oci::manifest::Descriptor;
use registry::{BlobStream, Client, Resolved};
use stdx::ErrorKind;
use storage::{BlobWriter, Lease, Store};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tee::{Piece, PieceReader, WriteError, Written, channel, write_blob};
use crate::images::LayerStatus;
use crate::images::board::Board;
use crate::images::error::{ImageError, Result};
use crate::images::job::LayerLocks;
use crate::images::meter::{Counted, Downloaded, Meter};

/// What fetching layers needs.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    pub(super) store: Arc<Store>,
    pub(super) client: Client,
    pub(super) tasks: TaskTracker,
    pub(super) locks: Arc<LayerLocks>,
    pub(super) board: Arc<Board>,
    pub(super) cancelled: CancellationToken,
    pub(super) lease: Arc<Lease>,
}

/// One layer to fetch.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) descriptor: Descriptor,
    pub(super) diff_id: Digest,
}

/// Kept by every thread that works on a layer, so that nobody else starts with it before all have
/// ended, and no collection takes it away.
#[derive(Debug)]
struct Claim {
    _layer: tokio::sync::OwnedMutexGuard<()>,
    _lease: Arc<Lease>,
}

impl Fetcher {
    pub(super) fn meter(&self, layer: &Layer) -> Meter {
        let total = layer.descriptor.size;
        Meter::new(Arc::clone(&self.board), layer.descriptor.digest.short(), total)
    }

    /// Makes the layer be here, unpacked.
    pub(super) async fn fetch(&self, resolved: &Resolved, layer: &Layer) -> Result<()> {
        let mut meter = self.meter(layer);
        let guard = self.locks.lock(&layer.diff_id).await;
        let claim = Arc::new(Claim { _layer: guard, _lease: Arc::clone(&self.lease) });
        if self.store.layers().has(&layer.diff_id) {
            meter.tell(LayerStatus::AlreadyExists, 0);
            return Ok(());
        }
        if !self.store.content().has(&layer.descriptor.digest)
            && self.download(resolved, layer, &claim).await? == Unpacked::Already
        {
            meter.tell(LayerStatus::PullComplete, 0);
            return Ok(());
        }
        self.unpack_blob(layer, &claim).await?;
        meter.tell(LayerStatus::PullComplete, 0);
        Ok(())
    }

    /// Fetches the blob; should a mirror have spoiled it, once more from the origin.
    async fn download(
        &self,
        resolved: &Resolved,
        layer: &Layer,
        claim: &Arc<Claim>,
    ) -> Result<Unpacked> {
        let error = match self.download_from(resolved, layer, claim).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput => error,
            Err(error @ ImageError::Verification { .. }) => error,
            other => return other,
        };
        let Some(origin) = resolved.without_mirrors() else { return Err(error) };
        let digest = &layer.descriptor.digest;
        tracing::warn!(error = %stdx::chain(&error), %digest, "a mirror's layer is spoiled");
        self.writer(layer).await?.abandon();
        self.download_from(&origin, layer, claim).await.map_err(|unavailable| {
            tracing::warn!(error = %stdx::chain(&unavailable), %digest, "the origin does not help");
            error
        })
    }

    /// Fetches the blob. What an earlier pull left is gone on with; should that turn out to be
    /// spoiled, once more from the start.
    async fn download_from(
        &self,
        resolved: &Resolved,
        layer: &Layer,
        claim: &Arc<Claim>,
    ) -> Result<Unpacked> {
        for _ in 0..2 {
            let writer = self.writer(layer).await?;
            if writer.offset() == 0 {
                return self.download_and_unpack(resolved, layer, writer, claim).await;
            }
            let stream = self.client.blob(resolved, &layer.descriptor, writer.offset());
            let (sender, pieces) = channel();
            let claim = Arc::clone(claim);
            let writing = self.tasks.spawn_blocking(move || {
                let _claim = claim;
                write_blob(writer, pieces, None)
            });
            let fed = self.feed(layer, stream, sender).await;
            match (fed, finished(writing.await, layer)) {
                (Ok(()), Ok(_)) => return Ok(Unpacked::NotYet),
                (_, Err(ImageError::Verification { .. })) => {}
                (Err(error), _) | (_, Err(error)) => return Err(error),
            }
        }
        Err(self.given_up(layer))
    }

    async fn download_and_unpack(
        &self,
        resolved: &Resolved,
        layer: &Layer,
        writer: BlobWriter,
        claim: &Arc<Claim>,
    ) -> Result<Unpacked> {
        let stream = self.client.blob(resolved, &layer.descriptor, 0);
        let (sender, pieces) = channel();
        let (next, unpacked) = channel();
        let writing = self.tasks.spawn_blocking({
            let claim = Arc::clone(claim);
            move || {
                let _claim = claim;
                write_blob(writer, pieces, Some(&next))
            }
        });
        let downloaded = Downloaded::default();
        let reader = PieceReader::new(unpacked);
        let unpacking = self.unpack(layer, reader, Arc::clone(&downloaded), claim);
        let fed = self.feed(layer, stream, sender).await;
        let written = finished(writing.await, layer);
        downloaded.store(true, Ordering::Relaxed);
        if matches!(written, Ok(Written::Whole)) {
            self.meter(layer).tell(LayerStatus::DownloadComplete, 0);
        }
        let unpacked = unpacking.await.unwrap_or_else(|_| Err(self.given_up(layer)));
        // Whoever failed first is the cause: the disk, the network, the archive.
        match (written, fed) {
            (Err(error), _) => Err(error),
            (Ok(Written::Partly), Err(error)) => Err(error),
            (Ok(Written::Partly), Ok(())) => Err(self.given_up(layer)),
            (Ok(Written::Whole | Written::Unwanted), _) => unpacked.map(|()| Unpacked::Already),
        }
    }

    /// Moves the network's bytes to the writer thread, and says when there are no more.
    async fn feed(
        &self,
        layer: &Layer,
        mut stream: BlobStream,
        sender: mpsc::Sender<Piece>,
    ) -> Result<()> {
        let mut meter = self.meter(layer);
        let mut resumptions = 0;
        meter.tell(LayerStatus::Downloading, stream.position());
        while let Some(piece) = stream.next().await {
            let bytes = piece.map_err(ImageError::Registry)?;
            if stream.resumptions() > resumptions {
                resumptions = stream.resumptions();
                meter.tell(LayerStatus::Retrying, 0);
            }
            if sender.send(Piece::Bytes(bytes)).await.is_err() {
                // The writer ended; its own result says why.
                return Ok(());
            }
            meter.tell(LayerStatus::Downloading, stream.position());
        }
        let _writer_gone = sender.send(Piece::End).await;
        Ok(())
    }

    async fn unpack_blob(&self, layer: &Layer, claim: &Arc<Claim>) -> Result<()> {
        let mut meter = self.meter(layer);
        meter.tell(LayerStatus::DownloadComplete, 0);
        let digest = layer.descriptor.digest.clone();
        let file = self.store.content().open(&digest);
        let file = file.map_err(ImageError::storage("open blob", digest.to_string()))?;
        let downloaded = Arc::new(AtomicBool::new(true));
        let unpacking = self.unpack(layer, file, downloaded, claim);
        unpacking.await.unwrap_or_else(|_| Err(self.given_up(layer)))
    }

    /// Starts the unpacker in a thread.
    fn unpack(
        &self,
        layer: &Layer,
        reader: impl std::io::Read + Send + 'static,
        downloaded: Downloaded,
        claim: &Arc<Claim>,
    ) -> tokio::task::JoinHandle<Result<()>> {
        let mut counted = Counted {
            inner: reader,
            meter: self.meter(layer),
            count: 0,
            status: LayerStatus::Extracting,
            downloaded,
            cancelled: self.cancelled.clone(),
        };
        let (store, claim) = (Arc::clone(&self.store), Arc::clone(claim));
        let layer = layer.clone();
        self.tasks.spawn_blocking(move || {
            let _claim = claim;
            let unpacked = store.layers().unpack(&mut counted, &layer.diff_id);
            unpacked.map(drop).map_err(|error| unpack_error(error, &layer))
        })
    }

    async fn writer(&self, layer: &Layer) -> Result<BlobWriter> {
        let store = Arc::clone(&self.store);
        let (digest, size) = (layer.descriptor.digest.clone(), layer.descriptor.size);
        let opened =
            self.tasks.spawn_blocking(move || store.content().writer(&digest, Some(size))).await;
        let opened = opened.map_err(|_| self.given_up(layer))?;
        opened.map_err(ImageError::storage("write blob", layer.descriptor.digest.to_string()))
    }

    fn given_up(&self, layer: &Layer) -> ImageError {
        let object = format!("layer {}", layer.descriptor.digest.short());
        ImageError::Cancelled { operation: "pull", object }
    }
}

/// Whether a downloaded layer is unpacked as well.
#[derive(Debug, PartialEq, Eq)]
enum Unpacked {
    Already,
    NotYet,
}

fn finished(
    joined: Result<Result<Written, WriteError>, tokio::task::JoinError>,
    layer: &Layer,
) -> Result<Written> {
    let object = || format!("layer {}", layer.descriptor.digest.short());
    match joined {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(WriteError::Io(error))) => Err(ImageError::io("write", object())(error)),
        Ok(Err(WriteError::Storage(error @ storage::Error::WrongDigest { .. }))) => {
            let digest = layer.descriptor.digest.to_string();
            Err(ImageError::Verification { digest, source: Arc::new(error) })
        }
        Ok(Err(WriteError::Storage(error))) => Err(ImageError::storage("write", object())(error)),
        Err(_) => Err(ImageError::Cancelled { operation: "pull", object: object() }),
    }
}

fn unpack_error(error: storage::Error, layer: &Layer) -> ImageError {
    use storage::ArchiveError;
    if let storage::Error::Layer { source: ArchiveError::WrongDigest { .. }, .. } = error {
        let digest = layer.descriptor.digest.to_string();
        return ImageError::Verification { digest, source: Arc::new(error) };
    }
    ImageError::Layer(Arc::new(error))
}
