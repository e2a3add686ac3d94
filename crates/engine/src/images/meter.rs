//! How far a layer is, told not too often.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::progress::{ImageEvent, LayerStatus};

/// Progress is told at most this often.
const INTERVAL: Duration = Duration::from_millis(100);

/// Tells the progress of one layer, not too often.
#[derive(Debug)]
pub(super) struct Meter {
    board: Arc<Board>,
    id: String,
    total: u64,
    told: Option<Instant>,
}

impl Meter {
    pub(super) fn new(board: Arc<Board>, id: &str, total: u64) -> Self {
        Self { board, id: id.to_owned(), total, told: None }
    }

    /// Tells a step or its progress; progress only if the last was told some time ago.
    pub(super) fn tell(&mut self, status: LayerStatus, current: u64) {
        let now = Instant::now();
        let recent = self.told.is_some_and(|told| now.duration_since(told) < INTERVAL);
        let counts = status.counts();
        if counts && recent && current < self.total {
            return;
        }
        self.told = counts.then_some(now);
        let id = self.id.clone();
        let total = if counts { self.total } else { 0 };
        self.board.publish(ImageEvent::Layer { id, status, current, total });
    }
}

/// Whether the download has ended, so that the unpacker's progress is what people wait for.
pub(super) type Downloaded = Arc<AtomicBool>;

/// Counts what an unpacker reads, tells it, and stops it when the job is given up.
#[derive(Debug)]
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) meter: Meter,
    pub(super) count: u64,
    /// As what its reading is told.
    pub(super) status: LayerStatus,
    pub(super) downloaded: Downloaded,
    pub(super) cancelled: CancellationToken,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.is_cancelled() {
            return Err(io::Error::other("the work was given up"));
        }
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if self.downloaded.load(Ordering::Relaxed) {
            self.meter.tell(self.status, self.count);
        }
        Ok(count)
    }
}
