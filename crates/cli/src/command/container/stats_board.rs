//! The containers that `stats` follows, with the last sample of each.

use std::time::Duration;

use docker_api::container::Stats as Sample;
use docker_api::event::Message;
use docker_api::{Client, Filters, Query};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::path;
use crate::error::Result;

/// Samples of different containers that come within this time are shown together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Something that changes what is shown.
enum Update {
    Sample(String, Box<Sample>),
    /// The samples of a container are over.
    Ended(String),
    Appeared(String),
    Gone(String),
}

/// What is followed.
pub(super) struct Board<'a> {
    client: &'a Client,
    sender: mpsc::Sender<Update>,
    updates: mpsc::Receiver<Update>,
    readers: JoinSet<()>,
    containers: Vec<(String, Option<Sample>)>,
    /// How many samplings go on.
    open: usize,
    watches: bool,
    begun: bool,
}

impl<'a> Board<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        let (sender, updates) = mpsc::channel(64);
        Self {
            client,
            sender,
            updates,
            readers: JoinSet::new(),
            containers: Vec::new(),
            open: 0,
            watches: false,
            begun: false,
        }
    }

    /// Follows a container.
    ///
    /// # Errors
    /// When the daemon does not know it.
    pub(super) async fn add(&mut self, name: String) -> Result<()> {
        if self.containers.iter().any(|(known, _)| *known == name) {
            return Ok(());
        }
        let address = format!("{}/stats", path(&name));
        let mut lines = self.client.lines::<Sample>(&address, &Query::new()).await?;
        self.containers.push((name.clone(), None));
        self.open += 1;
        let sender = self.sender.clone();
        let _reader = self.readers.spawn(async move {
            while let Ok(Some(sample)) = lines.next().await {
                if sender.send(Update::Sample(name.clone(), Box::new(sample))).await.is_err() {
                    return;
                }
            }
            // The receiver is gone only when nobody looks any more.
            drop(sender.send(Update::Ended(name)).await);
        });
        Ok(())
    }

    /// Follows containers as they start and end, or as they are made and removed.
    ///
    /// # Errors
    /// When the daemon tells no events.
    pub(super) async fn watch(&mut self, all: bool) -> Result<()> {
        let mut filters = Filters::new();
        filters.add("type", "container");
        let (appears, goes) = if all { ("create", "destroy") } else { ("start", "die") };
        filters.add("event", appears);
        filters.add("event", goes);
        let query = Query::new().filters(&filters);
        let mut events = self.client.lines::<Message>("/events", &query).await?;
        let sender = self.sender.clone();
        self.watches = true;
        let _reader = self.readers.spawn(async move {
            while let Ok(Some(event)) = events.next().await {
                let update = if event.action == appears {
                    Update::Appeared(event.actor.id)
                } else {
                    Update::Gone(event.actor.id)
                };
                if sender.send(update).await.is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Waits until there is something new to show; false when nothing will come.
    ///
    /// # Errors
    /// When a container that appeared cannot be followed.
    pub(super) async fn change(&mut self) -> Result<bool> {
        if !self.begun {
            self.begun = true;
            return Ok(!self.containers.is_empty() || self.watches);
        }
        if self.open == 0 && !self.watches {
            return Ok(false);
        }
        let Some(update) = self.updates.recv().await else { return Ok(false) };
        self.take(update).await?;
        let until = Instant::now() + TOGETHER;
        while let Ok(Some(update)) = tokio::time::timeout_at(until, self.updates.recv()).await {
            self.take(update).await?;
        }
        Ok(true)
    }

    async fn take(&mut self, update: Update) -> Result<()> {
        match update {
            Update::Sample(name, sample) => {
                if let Some(entry) = self.containers.iter_mut().find(|(known, _)| *known == name) {
                    entry.1 = Some(*sample);
                }
            }
            Update::Ended(name) => {
                self.open = self.open.saturating_sub(1);
                if self.watches {
                    self.remove(&name);
                }
            }
            Update::Gone(name) => self.remove(&name),
            Update::Appeared(name) => match self.add(name).await {
                // It may be gone again already.
                Err(error) if error.status() == Some(404) => {}
                result => result?,
            },
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        self.containers.retain(|(known, _)| known != name);
    }

    /// Names and last samples.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, Option<&Sample>)> {
        self.containers.iter().map(|(name, sample)| (name.as_str(), sample.as_ref()))
    }
}
