//! What images an archive has.

use oci::image::ImageConfig;
use oci::manifest::{
    DOCKER_CONFIG, Descriptor, Document, Index, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use oci::{Digest, Platform, Reference};
use storage::Store;

use super::archive::{Archive, Scratch, blob_digest, invalid};
use crate::images::error::Result;

/// The annotation in which containerd keeps an image's whole name.
const NAME: &str = "io.containerd.image.name";
/// The annotation for a name or a tag (OCI image layout).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// One image of the archive.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) names: Vec<Reference>,
    pub(super) config: ImageConfig,
    pub(super) config_bytes: Vec<u8>,
    pub(super) manifest: Descriptor,
    pub(super) manifest_bytes: Vec<u8>,
    /// As many as the configuration's diff ids, in the same order.
    pub(super) layers: Vec<Source>,
}

/// Where a layer's bytes are.
#[derive(Debug)]
pub(super) enum Source {
    /// In the store.
    Blob(Box<Descriptor>),
    /// In a file that goes with the load.
    Scratch(Scratch),
}

/// An entry of `manifest.json`, as `docker save` writes it.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// The images of the archive; at least one.
pub(super) fn describe(store: &Store, archive: Archive) -> Result<Vec<Found>> {
    let index = archive.document("index.json").map(read_index).transpose()?;
    if let Some(bytes) = archive.document("manifest.json") {
        let saved: Vec<Saved> = serde_json::from_slice(bytes)
            .map_err(|error| invalid(&format!("manifest.json: {error}")))?;
        let manifests = index.map(|index| manifests(store, &index)).unwrap_or_default();
        return saved.iter().map(|saved| from_saved(store, &archive, saved, &manifests)).collect();
    }
    let Some(index) = index else {
        return Err(invalid("it has neither manifest.json nor index.json"));
    };
    drop(archive);
    let found: Vec<Found> = manifests(store, &index)
        .into_iter()
        .map(|layout| from_layout(store, layout))
        .collect::<Result<_>>()?;
    if found.is_empty() {
        return Err(invalid("it has no image for this platform"));
    }
    Ok(found)
}

fn read_index(bytes: &[u8]) -> Result<Index> {
    serde_json::from_slice(bytes).map_err(|error| invalid(&format!("index.json: {error}")))
}

/// A manifest of the layout that was found in the store.
#[derive(Debug)]
struct Layout {
    names: Vec<Reference>,
    descriptor: Descriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// The image manifests of an index for this platform, those of inner indexes included.
fn manifests(store: &Store, index: &Index) -> Vec<Layout> {
    let platform = Platform::host();
    let mut found = Vec::new();
    for outer in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
        let Some((mut bytes, mut document)) = document(store, outer) else { continue };
        let mut descriptor = outer.clone();
        if let Document::Index(inner) = &document {
            let Some(entry) = inner.select(&platform) else { continue };
            descriptor = entry.clone();
            let Some(chosen) = self::document(store, &descriptor) else { continue };
            (bytes, document) = chosen;
        }
        let Document::Manifest(manifest) = document else { continue };
        let names = names(outer);
        found.push(Layout { names, descriptor, bytes, manifest });
    }
    found
}

fn document(store: &Store, descriptor: &Descriptor) -> Option<(Vec<u8>, Document)> {
    let bytes = store.content().read(&descriptor.digest).ok()?;
    let document = Document::parse(&bytes, Some(&descriptor.media_type)).ok()?;
    Some((bytes, document))
}

/// A whole name; a tag alone says nothing about which image it is of.
fn names(descriptor: &Descriptor) -> Vec<Reference> {
    let stated = descriptor.annotations.get(NAME);
    let stated =
        stated.or_else(|| descriptor.annotations.get(REF_NAME).filter(|name| name.contains(':')));
    stated.and_then(|name| Reference::parse(name).ok()).into_iter().collect()
}

fn from_layout(store: &Store, layout: Layout) -> Result<Found> {
    let config_bytes = stored(store, &layout.manifest.config.digest)?;
    let config = configuration(&config_bytes, layout.manifest.layers.len())?;
    Ok(Found {
        names: layout.names,
        config,
        config_bytes,
        manifest: Descriptor { annotations: Default::default(), ..layout.descriptor },
        manifest_bytes: layout.bytes,
        layers: layout
            .manifest
            .layers
            .into_iter()
            .map(|blob| Source::Blob(Box::new(blob)))
            .collect(),
    })
}

fn from_saved(
    store: &Store,
    archive: &Archive,
    saved: &Saved,
    manifests: &[Layout],
) -> Result<Found> {
    let config_bytes = match (archive.document(&saved.config), blob_digest(&saved.config)) {
        (Some(bytes), _) => bytes.to_vec(),
        (None, Some(digest)) => stored(store, &digest)?,
        (None, None) => return Err(invalid(&format!("it lacks {}", saved.config))),
    };
    let config = configuration(&config_bytes, saved.layers.len())?;
    let layers: Vec<Source> =
        saved.layers.iter().map(|path| source(store, archive, path)).collect::<Result<_>>()?;
    let tags = saved.repo_tags.iter().flatten();
    let names: Vec<Reference> = tags
        .map(|tag| Reference::parse(tag).map_err(|error| invalid(&error.to_string())))
        .collect::<Result<_>>()?;
    let id = Digest::of(&config_bytes);
    let known = manifests.iter().find(|layout| layout.manifest.config.digest == id);
    let (manifest, manifest_bytes) = match known {
        Some(layout) => {
            let descriptor = layout.descriptor.clone();
            (Descriptor { annotations: Default::default(), ..descriptor }, layout.bytes.clone())
        }
        None => synthesize(&config_bytes, &layers)?,
    };
    Ok(Found { names, config, config_bytes, manifest, manifest_bytes, layers })
}

fn source(store: &Store, archive: &Archive, path: &str) -> Result<Source> {
    if let Some(scratch) = archive.file_at(path) {
        return Ok(Source::Scratch(scratch));
    }
    let lacking = || invalid(&format!("it lacks {path}"));
    let digest = blob_digest(path).ok_or_else(lacking)?;
    let size = store.content().size(&digest).map_err(|_| lacking())?;
    let media_type = OCI_LAYER.to_owned();
    let mut descriptor = Descriptor::of(&media_type, b"");
    (descriptor.digest, descriptor.size) = (digest, size);
    Ok(Source::Blob(Box::new(descriptor)))
}

/// A manifest for an image that came without one.
fn synthesize(config: &[u8], layers: &[Source]) -> Result<(Descriptor, Vec<u8>)> {
    let layers = layers.iter().map(|layer| match layer {
        Source::Blob(descriptor) => Descriptor::clone(descriptor),
        Source::Scratch(scratch) => {
            let mut descriptor = Descriptor::of(OCI_LAYER, b"");
            (descriptor.digest, descriptor.size) = (scratch.digest.clone(), scratch.size);
            descriptor
        }
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(OCI_CONFIG, config),
        layers: layers.collect(),
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|error| invalid(&error.to_string()))?;
    Ok((Descriptor::of(OCI_MANIFEST, &bytes), bytes))
}

fn stored(store: &Store, digest: &Digest) -> Result<Vec<u8>> {
    store.content().read(digest).map_err(|error| match error {
        storage::Error::NotFound { .. } => invalid(&format!("it lacks blob {digest}")),
        other => invalid(&stdx::chain(&other)),
    })
}

fn configuration(bytes: &[u8], layers: usize) -> Result<ImageConfig> {
    let config = ImageConfig::parse(bytes)
        .map_err(|error| invalid(&format!("{OCI_CONFIG} or {DOCKER_CONFIG}: {error}")))?;
    if config.rootfs.diff_ids.len() != layers {
        return Err(invalid("an image's configuration names another number of layers"));
    }
    Ok(config)
}
