//! The news of one pull or load, for as many readers as there are.
//!
//! A board keeps what is worth knowing, not everything that was said: of a layer's progress only
//! the latest. So a slow reader misses numbers but never a step, a late one learns all that
//! happened, and nobody's slowness costs memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::error::{ImageError, Result};
use super::progress::ImageEvent;

/// Where one job writes its news.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first, each with the version at which it was written.
    entries: Vec<(u64, ImageEvent)>,
    version: u64,
    outcome: Option<Result<()>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { state: Mutex::default(), version: watch::Sender::new(0) }
    }
}

impl Board {
    /// Writes a piece of news; progress replaces older progress of the same step.
    pub(super) fn publish(&self, event: ImageEvent) {
        let version = {
            let mut state = self.lock();
            state.version += 1;
            let version = state.version;
            if let ImageEvent::Layer { id, status, .. } = &event {
                state.entries.retain(|(_, old)| {
                    !matches!(old, ImageEvent::Layer { id: other, status: step, .. }
                        if other == id && step == status)
                });
            }
            state.entries.push((version, event));
            version
        };
        self.version.send_replace(version);
    }

    /// Ends the board; what comes later is not kept.
    pub(super) fn finish(&self, outcome: Result<()>) {
        let version = {
            let mut state = self.lock();
            state.version += 1;
            state.outcome.get_or_insert(outcome);
            state.version
        };
        self.version.send_replace(version);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a board.
#[derive(Debug)]
pub(super) struct Reader {
    board: Arc<Board>,
    changed: watch::Receiver<u64>,
    /// Everything up to this version was read.
    seen: u64,
    ended: bool,
}

impl Reader {
    pub(super) fn new(board: Arc<Board>) -> Self {
        let changed = board.version.subscribe();
        Self { board, changed, seen: 0, ended: false }
    }

    /// The next piece of news, an error as the last; `None` at the end. Cancelling the future
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<ImageEvent>> {
        loop {
            if self.ended {
                return None;
            }
            self.changed.borrow_and_update();
            if let Some(item) = self.take() {
                return item;
            }
            if self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    /// `Some(None)` at the end, `None` when there is nothing yet.
    #[expect(clippy::option_option, reason = "nothing yet and nothing more are two things")]
    fn take(&mut self) -> Option<Option<Result<ImageEvent>>> {
        let state = self.board.lock();
        if let Some((version, event)) = state.entries.iter().find(|(at, _)| *at > self.seen) {
            self.seen = *version;
            return Some(Some(Ok(event.clone())));
        }
        let outcome = state.outcome.clone()?;
        self.ended = true;
        Some(outcome.err().map(|error: ImageError| Err(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Board, Reader};
    use crate::images::error::ImageError;
    use crate::images::{ImageEvent, LayerStatus};

    fn layer(status: LayerStatus, current: u64) -> ImageEvent {
        ImageEvent::Layer { id: "a".to_owned(), status, current, total: 10 }
    }

    #[tokio::test]
    async fn progress_is_replaced_and_steps_are_kept() {
        let board = Arc::new(Board::default());
        let mut early = Reader::new(Arc::clone(&board));
        board.publish(layer(LayerStatus::PullingFsLayer, 0));
        assert_eq!(early.next().await.unwrap().unwrap(), layer(LayerStatus::PullingFsLayer, 0));
        for current in 1..5 {
            board.publish(layer(LayerStatus::Downloading, current));
        }
        board.publish(layer(LayerStatus::PullComplete, 0));
        board.finish(Ok(()));
        let mut late = Reader::new(board);
        for reader in [&mut early, &mut late] {
            let mut events = Vec::new();
            while let Some(event) = reader.next().await {
                events.push(event.unwrap());
            }
            let rest = [layer(LayerStatus::Downloading, 4), layer(LayerStatus::PullComplete, 0)];
            assert!(events.ends_with(&rest), "{events:?}");
        }
    }

    #[tokio::test]
    async fn every_reader_gets_the_failure_once() {
        let board = Arc::new(Board::default());
        let readers = [Reader::new(Arc::clone(&board)), Reader::new(Arc::clone(&board))];
        board.finish(Err(ImageError::Archive { reason: "x".to_owned() }));
        for mut reader in readers {
            assert!(matches!(reader.next().await, Some(Err(ImageError::Archive { .. }))));
            assert!(reader.next().await.is_none());
        }
    }
}
