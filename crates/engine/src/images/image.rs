//! Images as this room's callers see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::image::{History, ImageConfig};
use oci::manifest::Descriptor;
use oci::{Digest, Reference};
use storage::ImageRecord;

/// One image with all its names.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration.
    pub id: Digest,
    /// `name:tag`, sorted.
    pub tags: Vec<Reference>,
    /// `name@digest`, sorted.
    pub digests: Vec<Reference>,
    /// Its configuration.
    pub config: ImageConfig,
    /// The manifest it came with.
    pub manifest: Descriptor,
    /// Chain ids of its layers, lowest first.
    pub chain: Vec<Digest>,
    /// Bytes of its unpacked layers.
    pub size: u64,
    /// When it was made, if its configuration says so.
    pub created: Option<Timestamp>,
    /// When it last got a name here.
    pub tagged: Option<Timestamp>,
}

impl Image {
    /// The diff ids of its layers, lowest first, as a snapshot is made of them.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// The labels of its configuration.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.config.config.labels
    }
}

/// One line of an image's history, newest first.
#[derive(Debug, Clone)]
pub struct HistoryLine {
    /// The step, as the configuration has it.
    pub step: History,
    /// When, if it says so.
    pub created: Option<Timestamp>,
    /// Bytes of the layer it made, 0 when it made none.
    pub size: u64,
    /// The image's id for the newest line, `None` for others.
    pub id: Option<Digest>,
    /// Names of the image, on the newest line.
    pub tags: Vec<Reference>,
}

/// Which images are listed. Empty = all.
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    /// Familiar names, with `*` and `?`: `alpine`, `alpine:3*`, `ghcr.io/*/app`. Any may match.
    pub references: Vec<String>,
    /// `key` or `key=value`; all must match.
    pub labels: Vec<String>,
    /// Only images without a tag (`true`) or with one (`false`).
    pub dangling: Option<bool>,
    /// Only images made before this one.
    pub before: Option<String>,
    /// Only images made after this one.
    pub since: Option<String>,
}

/// A container that needs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// The container's id.
    pub container: String,
    /// The id of the image it was made from.
    pub image: Digest,
    /// Whether its process runs.
    pub running: bool,
}

/// How an image is removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Also when stopped containers use it or it has several names.
    pub force: bool,
    /// Keep its layers on disk.
    pub keep_layers: bool,
}

/// One thing that removing an image did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A name (tag or digest) was taken from the image.
    Untagged(Reference),
    /// An image (by id) or one of its layers (by chain id) was deleted.
    Deleted(Digest),
}

/// The moment that a configuration states, if it states one.
pub(super) fn moment(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

impl From<ImageRecord> for Image {
    fn from(record: ImageRecord) -> Self {
        let (digests, tags) = record.names.into_iter().partition(|name| name.digest().is_some());
        Self {
            id: record.id,
            tags,
            digests,
            chain: oci::image::chain_ids(&record.config.rootfs.diff_ids),
            created: moment(record.config.created.as_deref()),
            tagged: moment(Some(&record.stored_at)),
            config: record.config,
            manifest: record.manifest,
            size: record.size,
        }
    }
}
