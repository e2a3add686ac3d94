//! Giving a container another name.

use std::sync::Arc;

use super::entry::Container;
use super::{Containers, Shared};
use crate::container::{Status, name};
use crate::error::{Error, Result};
use crate::event::Action;

impl Containers {
    /// Gives it another name.
    ///
    /// # Errors
    /// `NameTaken`, `Invalid`.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let new_name = name::check(new_name)?.to_owned();
        self.run(move |shared| async move {
            let _turn = container.operation.lock().await;
            let old_name = container.name();
            if matches!(container.status(), Status::Removing | Status::Dead) {
                return Err(Error::NoSuchContainer(container.id.clone()));
            }
            if old_name == new_name {
                return Err(Error::Invalid(
                    "Renaming a container with the same name as its current name".to_owned(),
                ));
            }
            shared.table.reserve(&new_name, &container.id)?;
            give(&shared, &container, &new_name);
            let renamed = Arc::clone(&container);
            let saved = shared
                .rooms
                .blocking("record the container", move |rooms| {
                    renamed.save(rooms)?;
                    renamed.live().map_or(Ok(()), |_| renamed.save_run_time(rooms))
                })
                .await;
            if let Err(error) = saved {
                give(&shared, &container, &old_name);
                shared.table.release(&new_name, &container.id);
                return Err(error);
            }
            shared.table.release(&old_name, &container.id);
            shared.publish(&container, Action::Rename, &[("oldName", format!("/{old_name}"))]);
            Ok(())
        })
        .await
    }
}

/// Changes its name here and in the name service.
fn give(shared: &Shared, container: &Container, name: &str) {
    container.change(|state| {
        name.clone_into(&mut state.record.name);
        if let Some(endpoint) = state.live.as_mut().and_then(|live| live.endpoint.as_mut()) {
            shared.rooms.networks.rename(endpoint, name);
        }
    });
}
