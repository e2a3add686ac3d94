//! Sending a signal by hand.

use super::stop::{self, Frozen};
use super::{Containers, restart};
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
            if container.status() == Status::Restarting {
                let _turn = container.operation.lock().await;
                // Without a process, only what ends it means something.
                let waits = container.status() == Status::Restarting;
                if waits && (!ends || restart::cancel(&shared, &container).await?) {
                    return Ok(());
                }
            }
            if container.live().is_none() {
                return Err(Error::Conflict(format!(
                    "cannot kill container: {}: container {} is not running",
                    container.name(),
                    container.id
                )));
            }
            // A signal that ends it on purpose also ends its restart policy's concern.
            if ends {
                stop::mark(&shared, &container).await?;
            }
            let frozen = if ends { Frozen::Thaw } else { Frozen::Stay };
            stop::send(&shared, &container, number, frozen).await.map(drop)
        })
        .await
    }
}
