//! Images: a configuration's digest, and the names it goes by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::image::ImageConfig;
use oci::manifest::Descriptor;
use oci::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::garbage::Leases;
use crate::layers::{Directories, Snapshotter};
use crate::pending::Pending;
use crate::trash::Trash;
use crate::{Content, Error, Records, Result, Table};

/// One layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The digest of the uncompressed archive, by which it is kept unpacked.
    pub diff_id: Digest,
    /// The blob it was unpacked from; absent when it was loaded or built without one.
    pub blob: Option<Descriptor>,
}

/// An image that is wholly here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The digest of the configuration.
    pub id: Digest,
    /// The manifest it came by; its blob and the configuration's are in the content.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<LayerRecord>,
    /// The sum of its unpacked layers in bytes.
    pub size: u64,
    /// When it came here or was last given a name, RFC 3339.
    pub stored_at: String,
    /// The names it goes by, tags and digests, sorted. Filled in by the store when read.
    #[serde(default)]
    pub names: Vec<Reference>,
}

impl ImageRecord {
    /// The diff ids of its layers, lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id.clone()).collect()
    }

    /// Everything in the store that the image needs, and the indexes by which it was found.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Digest> {
        self.digests().chain(self.names.iter().filter_map(Reference::digest))
    }

    /// Everything in the store that the image needs.
    fn digests(&self) -> impl Iterator<Item = &Digest> {
        let blobs = self.layers.iter().filter_map(|layer| layer.blob.as_ref());
        [&self.id, &self.manifest.digest]
            .into_iter()
            .chain(self.layers.iter().map(|layer| &layer.diff_id))
            .chain(blobs.map(|blob| &blob.digest))
    }

    fn without_names(&self) -> Self {
        Self { names: Vec::new(), ..self.clone() }
    }
}

/// What removing a name did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untagged {
    /// The image the name stood for.
    pub image: Digest,
    /// The names removed: the one asked for, and the digests of its repository if no tag of it is left.
    pub names: Vec<Reference>,
    /// Whether the image went with its last name.
    pub removed: bool,
}

/// The images of a store.
#[derive(Debug)]
pub struct Images {
    records: Arc<Records>,
    content: Content,
    layers: Arc<Directories>,
    pending: Arc<Pending>,
    leases: Arc<Leases>,
    trash: Arc<Trash>,
    /// Held from reading names to writing them.
    turn: Mutex<()>,
}

/// What images are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) records: Arc<Records>,
    pub(crate) content: Content,
    pub(crate) layers: Arc<Directories>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) trash: Arc<Trash>,
}

impl Images {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { records, content, layers, pending, leases, trash } = parts;
        Self { records, content, layers, pending, leases, trash, turn: Mutex::default() }
    }

    /// Records an image whose blobs and layers are here, syncs them, and gives it its names (which
    /// other images lose). Durable when it returns. An image that is here already keeps its other
    /// names.
    ///
    /// # Errors
    /// `NotFound` when a blob or layer is missing.
    pub fn put(&self, record: &ImageRecord) -> Result<()> {
        let lease = self.leases.take();
        for digest in record.digests() {
            lease.hold(digest);
        }
        self.check(record)?;
        self.pending.sync(&self.trash)?;
        let key = record.id.as_str();
        let mut batch = self.records.batch().put(Table::IMAGES, key, &record.without_names())?;
        let _turn = self.turn();
        for name in &record.names {
            batch = batch.put(Table::IMAGE_NAMES, &name.to_string(), &record.id)?;
        }
        batch.commit()
    }

    /// Gives an image another name, which another image may lose.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn tag(&self, image: &Digest, name: &Reference) -> Result<()> {
        let _turn = self.turn();
        if self.record(image)?.is_none() {
            return Err(no_such_image(image.as_str()));
        }
        self.records.put(Table::IMAGE_NAMES, &name.to_string(), image)
    }

    /// Removes a name; the image goes with its last one.
    ///
    /// # Errors
    /// `NotFound` when there is no such name.
    pub fn untag(&self, name: &Reference) -> Result<Untagged> {
        let _turn = self.turn();
        let names = self.names()?;
        let found = names.iter().find(|(other, _)| other == name);
        let Some((_, image)) = found else { return Err(no_such_image(&name.familiar())) };
        let of_image = names.iter().filter(|(_, other)| other == image).map(|(name, _)| name);
        let (mut gone, left): (Vec<&Reference>, Vec<&Reference>) =
            of_image.partition(|other| *other == name);
        let same = |other: &Reference| other.name() == name.name();
        // A digest names what a tag was pulled as; it goes with the repository's last tag.
        let tagged = left.iter().any(|other| same(other) && other.tag().is_some());
        let (digests, left): (Vec<&Reference>, Vec<&Reference>) =
            left.into_iter().partition(|other| !tagged && same(other) && other.tag().is_none());
        gone.extend(digests);
        let mut batch = self.records.batch();
        for name in &gone {
            batch = batch.delete(Table::IMAGE_NAMES, &name.to_string());
        }
        let removed = left.is_empty();
        if removed {
            batch = batch.delete(Table::IMAGES, image.as_str());
        }
        batch.commit()?;
        let names = gone.into_iter().cloned().collect();
        Ok(Untagged { image: image.clone(), names, removed })
    }

    /// The image of that id.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn get(&self, image: &Digest) -> Result<Option<ImageRecord>> {
        let Some(mut record) = self.record(image)? else { return Ok(None) };
        let names = self.names()?.into_iter().filter(|(_, id)| id == image);
        record.names = names.map(|(name, _)| name).collect();
        Ok(Some(record))
    }

    /// Finds an image by name (`alpine`, `alpine:3`, `alpine@sha256:…`), id (`sha256:…`) or the
    /// beginning of an id.
    ///
    /// # Errors
    /// `NotFound`, or [`Error::Ambiguous`] when several ids begin so.
    pub fn resolve(&self, text: &str) -> Result<ImageRecord> {
        let id = match self.find_name(text)? {
            Some(id) => id,
            None => self.find_id(text)?.ok_or_else(|| no_such_image(text))?,
        };
        self.get(&id)?.ok_or_else(|| no_such_image(text))
    }

    /// All images.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn list(&self) -> Result<Vec<ImageRecord>> {
        let mut names: HashMap<Digest, Vec<Reference>> = HashMap::new();
        for (name, id) in self.names()? {
            names.entry(id).or_default().push(name);
        }
        let mut records = self.records.list::<ImageRecord>(Table::IMAGES)?;
        for (_, record) in &mut records {
            record.names = names.remove(&record.id).unwrap_or_default();
        }
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// Removes an image and all its names; returns the names. Its content goes by
    /// [`crate::Store::collect_garbage`].
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn remove(&self, image: &Digest) -> Result<Vec<Reference>> {
        let _turn = self.turn();
        let record = self.get(image)?.ok_or_else(|| no_such_image(image.as_str()))?;
        let mut batch = self.records.batch().delete(Table::IMAGES, image.as_str());
        for name in &record.names {
            batch = batch.delete(Table::IMAGE_NAMES, &name.to_string());
        }
        batch.commit()?;
        Ok(record.names)
    }

    fn check(&self, record: &ImageRecord) -> Result<()> {
        for digest in [&record.id, &record.manifest.digest] {
            self.content.size(digest)?;
        }
        for layer in &record.layers {
            self.layers.lower(&layer.diff_id)?;
        }
        Ok(())
    }

    fn record(&self, image: &Digest) -> Result<Option<ImageRecord>> {
        self.records.get(Table::IMAGES, image.as_str())
    }

    /// All names, sorted; one that this version cannot read is left out.
    fn names(&self) -> Result<Vec<(Reference, Digest)>> {
        let names = self.records.list::<Digest>(Table::IMAGE_NAMES)?.into_iter();
        Ok(names.filter_map(|(name, id)| Some((Reference::parse(&name).ok()?, id))).collect())
    }

    fn find_name(&self, text: &str) -> Result<Option<Digest>> {
        let Ok(name) = Reference::parse(text) else { return Ok(None) };
        if let Some(id) = self.records.get(Table::IMAGE_NAMES, &name.to_string())? {
            return Ok(Some(id));
        }
        // With a tag and a digest, the digest alone decides.
        match (name.tag(), name.digest()) {
            (Some(_), Some(digest)) => {
                let name = name.with_digest(digest.clone());
                self.records.get(Table::IMAGE_NAMES, &name.to_string())
            }
            _ => Ok(None),
        }
    }

    fn find_id(&self, text: &str) -> Result<Option<Digest>> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let records = self.records.list::<serde::de::IgnoredAny>(Table::IMAGES)?;
        let ids = records.into_iter().filter_map(|(key, _)| Digest::parse(&key).ok());
        let mut ids = ids.filter(|id| id.hex().starts_with(prefix));
        let first = ids.next();
        match ids.count() {
            0 => Ok(first),
            more => Err(Error::Ambiguous { prefix: text.to_owned(), count: more + 1 }),
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_such_image(name: &str) -> Error {
    Error::NotFound { noun: "image", name: name.to_owned() }
}
