//! Freezing and thawing a container's processes.

use std::sync::Arc;

use linux::cgroup::{Group, Layout};

use super::entry::Container;
use super::{Containers, Shared, end, not_running};
use crate::container::Status;
use crate::container::machine::{self, Refusal, Step};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms;

impl Containers {
    /// Freezes its processes.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is frozen.
    pub async fn pause(&self, name: &str) -> Result<()> {
        let container = self.shared.table.find(name)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            let id = &container.id;
            match machine::next(container.status(), Step::Pause) {
                Ok(_) => {}
                Err(Refusal::Already) => {
                    return Err(Error::Conflict(format!("container {id} is already paused")));
                }
                Err(Refusal::Restarting) => {
                    return Err(Error::Conflict(format!(
                        "container {id} is restarting, wait until the container is running"
                    )));
                }
                Err(_) => return Err(not_running(&container)),
            }
            group(&shared, &container, Group::freeze).await?;
            let frozen = container.change(|state| {
                let frozen = state.status == Status::Running;
                if frozen {
                    state.status = Status::Paused;
                }
                frozen
            });
            if !frozen {
                return Err(not_running(&container));
            }
            keep(&shared, &container).await?;
            shared.publish(&container, Action::Pause, &[]);
            Ok(())
        })
        .await
    }

    /// Thaws its processes.
    ///
    /// # Errors
    /// `Conflict` when it is not frozen.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        let container = self.shared.table.find(name)?;
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            if machine::next(container.status(), Step::Unpause).is_err() {
                return Err(Error::Conflict(format!("container {} is not paused", container.id)));
            }
            thaw(&shared, &container).await?;
            keep(&shared, &container).await
        })
        .await
    }
}

/// Thaws a frozen container, and says so.
///
/// # Errors
/// What the kernel says.
pub(super) async fn thaw(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    group(shared, container, Group::thaw).await?;
    let thawed = container.change(|state| {
        let thawed = state.status == Status::Paused;
        if thawed {
            state.status = Status::Running;
        }
        thawed
    });
    if thawed {
        shared.publish(container, Action::Unpause, &[]);
    }
    Ok(())
}

async fn group(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    act: fn(&Group) -> Result<(), linux::Error>,
) -> Result<()> {
    let path = end::cgroup_path(&shared.rooms, container);
    let name = container.name();
    shared
        .rooms
        .blocking("freeze or thaw a container", move |_| {
            let layout = Layout::detect()
                .map_err(|error| rooms::kernel("find the groups of", &name, error))?;
            Group::open(layout, &path)
                .and_then(|group| act(&group))
                .map_err(|error| rooms::kernel("freeze or thaw", &name, error))
        })
        .await
}

/// Another daemon must find it frozen.
async fn keep(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<()> {
    let container = Arc::clone(container);
    shared.rooms.blocking("record the container", move |rooms| container.save_run_time(rooms)).await
}
