//! Starting again: by policy after a delay, and by hand.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Container;
use super::{Containers, Shared, end, start, stop};
use crate::container::Status;
use crate::container::restart::Ended;
use crate::error::{Error, Result};
use crate::event::Action;

impl Containers {
    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// As `stop` and `start`.
    pub async fn restart(
        &self,
        name: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let request = stop::Request::new(signal, timeout)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            container.change(|state| {
                state.restarting_by_hand = true;
                state.record.restarts = 0;
            });
            let result = again(&shared, &container, request).await;
            container.change(|state| state.restarting_by_hand = false);
            result?;
            shared.publish(&container, Action::Restart, &[]);
            Ok(())
        })
        .await
    }
}

async fn again(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    request: stop::Request,
) -> Result<()> {
    match stop::stop(shared, container, request).await {
        Ok(()) | Err(Error::NotModified(_)) => {}
        Err(error) => return Err(error),
    }
    start::start(shared, container).await
}

/// Starts a container by its policy after a delay, unless it was stopped, started or removed first.
pub(super) fn later(shared: &Arc<Shared>, container: &Arc<Container>, delay: Duration) {
    let (shared_too, container) = (Arc::clone(shared), Arc::clone(container));
    shared.spawn(async move {
        let shared = shared_too;
        let mut watch = container.watch();
        tokio::select! {
            () = shared.rooms.cancel.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
            // No longer waiting for its restart.
            _ = watch.wait_for(|phase| phase.alive || !phase.active || phase.removed) => return,
        }
        let _turn = container.operation.lock().await;
        if container.status() != Status::Restarting {
            return;
        }
        container.change(|state| state.record.restarts += 1);
        if let Err(error) = start::start(&shared, &container).await {
            tracing::warn!(container = container.id, error = %stdx::chain(&error), "restart");
            failed(&shared, &container);
        }
    });
}

/// A start by policy failed: the policy decides again.
fn failed(shared: &Arc<Shared>, container: &Arc<Container>) {
    let delay = container.change(|state| {
        let record = &state.record;
        let ended =
            Ended { exit_code: record.last.exit_code, by_hand: false, restarts: record.restarts };
        if !record.spec.host.restart.restarts(ended) {
            return None;
        }
        state.status = Status::Restarting;
        state.record.running = true;
        Some(state.back_off.next(Duration::ZERO))
    });
    match delay {
        Some(delay) => later(shared, container, delay),
        None => end::save_later(shared, container),
    }
}
