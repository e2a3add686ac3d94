//! Starting again: by policy after a delay, and by hand.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Container, State};
use super::start::{self, Starter};
use super::{Containers, Shared, stop};
use crate::container::Status;
use crate::container::machine::{self, Step};
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
    start::start(shared, container, Starter::Hand).await
}

/// Starts a container by its policy after a delay, unless it was stopped, started or removed first.
pub(super) fn later(shared: &Arc<Shared>, container: &Arc<Container>, delay: Duration) {
    let (shared_too, container) = (Arc::clone(shared), Arc::clone(container));
    shared.spawn(async move {
        let shared = shared_too;
        let mut watch = container.watch();
        tokio::select! {
            () = shared.rooms.cancel.cancelled() => return,
            () = shared.closing.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
            // No longer waiting for its restart.
            _ = watch.wait_for(|phase| phase.alive || !phase.active || phase.removed) => return,
        }
        let _turn = container.operation.lock().await;
        if container.status() != Status::Restarting {
            return;
        }
        container.change(|state| state.record.restarts += 1);
        by_policy(&shared, &container).await;
    });
}

/// Starts a container, whose turn the caller holds, because its policy wants it. When that fails
/// the policy has decided again.
pub(super) async fn by_policy(shared: &Arc<Shared>, container: &Arc<Container>) {
    if let Err(error) = start::start(shared, container, Starter::Policy).await {
        tracing::warn!(container = container.id, error = %stdx::chain(&error), "restart");
    }
}

/// How long after a start by policy that failed the next is tried; `None` when none is.
pub(super) fn after_failure(state: &mut State) -> Option<Duration> {
    let record = &state.record;
    let ended =
        Ended { exit_code: record.last.exit_code, by_hand: false, restarts: record.restarts };
    let again = record.spec.host.restart.restarts(ended);
    again.then(|| state.back_off.next(Duration::ZERO))
}

/// Calls off the restart that a container waits for, durably; the caller holds its turn. `false`
/// when it does not wait for one.
///
/// # Errors
/// When it cannot be recorded.
pub(super) async fn cancel(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<bool> {
    let cancelled = container.change(|state| {
        let next = machine::next(state.status, Step::RestartCancelled);
        if let Ok(status) = next {
            state.status = status;
            state.record.running = false;
            state.record.ended_by_hand = true;
        }
        next.is_ok()
    });
    if cancelled {
        let container = Arc::clone(container);
        let saved =
            shared.rooms.blocking("record the container", move |rooms| container.save(rooms));
        saved.await?;
    }
    Ok(cancelled)
}
