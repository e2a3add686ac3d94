//! Waiting for a container's end or removal.

use tokio::sync::watch;

use super::Containers;
use super::entry::Phase;
use crate::container::{WaitCondition, WaitOutcome};
use crate::error::Result;

impl Containers {
    /// Begins to wait: what happens from this call's return on is not missed, so that the caller
    /// may first tell its client that it waits.
    ///
    /// # Errors
    /// `NoSuchContainer`.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiter> {
        let container = self.shared.table.find(name)?;
        let watch = container.watch();
        let ends = watch.borrow().ends;
        Ok(Waiter { watch, condition, ends })
    }
}

/// A wait that has begun.
#[derive(Debug)]
pub struct Waiter {
    watch: watch::Receiver<Phase>,
    condition: WaitCondition,
    ends: u64,
}

impl Waiter {
    /// Waits for it.
    pub async fn outcome(mut self) -> WaitOutcome {
        let (condition, ends) = (self.condition, self.ends);
        let reached = self.watch.wait_for(|phase| match condition {
            WaitCondition::NotRunning => !phase.active || phase.removed,
            WaitCondition::NextExit => phase.ends > ends || phase.removed,
            WaitCondition::Removed => phase.removed,
        });
        match reached.await {
            Ok(phase) => WaitOutcome { exit_code: phase.exit_code, error: phase.error.clone() },
            Err(_closed) => {
                WaitOutcome { exit_code: -1, error: Some("the daemon is shutting down".to_owned()) }
            }
        }
    }
}
