//! Images: against Debian's registry, archives written by skopeo, and by hand.

mod load;
mod pull;
mod remove;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::Events;
use engine::images::{ImageEvent, Images, LayerStatus, Progress, PullRequest};
use oci::Reference;
use registry::Config;
use storage::{Layout, Store};

/// A store and its images in a directory of their own.
pub(crate) struct World {
    pub(crate) store: Arc<Store>,
    pub(crate) images: Arc<Images>,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::new())
    }

    pub(crate) fn with(mut config: Config) -> Self {
        config.retry.first_delay = Duration::from_millis(2);
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Layout::at_root(&directory.path().join("root"))).unwrap();
        let store = Arc::new(store);
        let client = registry::Client::new(config);
        let images = Images::new(Arc::clone(&store), client, Events::default());
        Self { store, images, directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pull(&self, name: &str) -> Progress {
        self.images.pull(PullRequest {
            reference: Reference::parse(name).unwrap(),
            platform: None,
            credentials: None,
        })
    }

    /// The text of a file in an image's topmost layer that has it.
    pub(crate) fn read(&self, image: &engine::images::Image, path: &str) -> Option<String> {
        image.diff_ids().iter().rev().find_map(|diff_id| {
            let lower = self.store.layers().lower(diff_id).unwrap();
            let storage::Lower::Directory(directory) = lower else { return None };
            std::fs::read_to_string(directory.join(path)).ok()
        })
    }
}

/// All the news of a job, and how it ended.
pub(crate) async fn listen(mut progress: Progress) -> (Vec<ImageEvent>, engine::Result<()>) {
    let mut events = Vec::new();
    while let Some(event) = progress.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => return (events, Err(error)),
        }
    }
    (events, Ok(()))
}

pub(crate) fn count(events: &[ImageEvent], wanted: LayerStatus) -> usize {
    let is = |event: &&ImageEvent| matches!(event, ImageEvent::Layer { status, .. } if *status == wanted);
    events.iter().filter(is).count()
}
