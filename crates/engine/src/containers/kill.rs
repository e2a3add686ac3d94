//! Sending a signal by hand.

use std::sync::Arc;

use super::entry::Container;
use super::stop::{self, Frozen};
use super::{Containers, Shared, restart};
use crate::container::{Status, signal};
use crate::error::{Error, Result};

impl Containers {
    /// Sends a signal (`KILL` when absent) to its first process. One that ends it calls off the
    /// restart of a container that waits for that.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `Invalid` for a signal that does not exist.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let wanted = signal.filter(|text| !text.is_empty());
        let number = wanted.map_or(Ok(signal::KILL), signal::parse)?;
        self.run(move |shared| async move {
            let ends = number == signal::KILL
                || number == container.read(|state| stop::stop_signal(&state.record.spec));
            if waits(&shared, &container, ends).await? {
                return Ok(());
            }
            if container.live().is_none() {
                return Err(Error::Conflict(format!(
                    "cannot kill container: {}: container {} is not running",
                    container.name(),
                    container.id
                )));
            }
            if !ends {
                return stop::send(&shared, &container, number, Frozen::Stay).await.map(drop);
            }
            // A signal that ends it on purpose also ends its restart policy's concern.
            stop::mark(&shared, &container).await?;
            stop::send(&shared, &container, number, Frozen::Thaw).await?;
            // It may have ended by itself just before.
            waits(&shared, &container, ends).await.map(drop)
        })
        .await
    }
}

/// Whether it waits for its restart, which a signal that ends it calls off: without a process, no
/// other signal means anything.
async fn waits(shared: &Arc<Shared>, container: &Arc<Container>, ends: bool) -> Result<bool> {
    if container.status() != Status::Restarting {
        return Ok(false);
    }
    let _turn = container.operation.lock().await;
    if ends {
        return restart::cancel(shared, container).await;
    }
    Ok(container.status() == Status::Restarting)
}
