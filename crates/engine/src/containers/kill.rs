//! Sending a signal by hand.

use super::{Containers, stop};
use crate::container::signal;
use crate::error::{Error, Result};

impl Containers {
    /// Sends a signal (`KILL` when absent) to its first process.
    ///
    /// # Errors
    /// `Conflict` when it does not run; `Invalid` for a signal that does not exist.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let wanted = signal.filter(|text| !text.is_empty());
        let number = wanted.map_or(Ok(signal::KILL), signal::parse)?;
        self.run(move |shared| async move {
            if container.live().is_none() {
                return Err(Error::Conflict(format!(
                    "cannot kill container: {}: container {} is not running",
                    container.name(),
                    container.id
                )));
            }
            // A signal that ends it on purpose also ends its restart policy's concern.
            container.change(|state| {
                let own = state.record.spec.stop_signal.as_deref();
                let stop = own.and_then(|text| signal::parse(text).ok()).unwrap_or(signal::TERM);
                if number == signal::KILL || number == stop {
                    state.ending_by_hand = true;
                }
            });
            stop::send(&shared, &container, number).await.map(drop)
        })
        .await
    }
}
