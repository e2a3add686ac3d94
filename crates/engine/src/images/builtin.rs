//! Images that brig carries within itself: `hello`.
//!
//! The program is compiled from `hello/main.rs` by this crate's `build.rs` and made into an OCI
//! image here, always the same bytes for the same program. No registry is ever asked for it.

use std::collections::BTreeMap;

use oci::image::{ExecutionConfig, History, ImageConfig, RootFs};
use oci::manifest::{Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use oci::{Digest, Platform, Reference};
use storage::{ImageRecord, LayerRecord, Store};

use crate::container::INIT_LABEL;

/// The date that built-in images bear: theirs would be that of a build, and differ each time.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// A program that is an image.
#[derive(Debug)]
pub(super) struct Program {
    /// The image's canonical name.
    pub(super) name: &'static str,
    /// The executable's name in its root directory.
    file: &'static str,
    /// The executable.
    bytes: &'static [u8],
    /// A port it serves on when told to.
    port: &'static str,
    description: &'static str,
}

static PROGRAMS: [Program; 1] = [Program {
    name: "docker.io/library/hello:latest",
    file: "hello",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/hello")),
    port: "8080/tcp",
    description: "Says what just happened; with the argument `serve`, serves a page",
}];

/// The built-in image of that name.
pub(super) fn find(reference: &Reference) -> Option<&'static Program> {
    let name = reference.to_string();
    PROGRAMS.iter().find(|program| program.name == name)
}

/// An image as documents.
struct Parts {
    layer: Vec<u8>,
    config: ImageConfig,
    config_bytes: Vec<u8>,
    manifest_bytes: Vec<u8>,
}

/// Puts the image into the store unless it is there; manifest digest, image id, whether it is new.
pub(super) fn install(store: &Store, program: &Program) -> storage::Result<(Digest, Digest, bool)> {
    let parts = assemble(program).map_err(|source| storage::Error::Io {
        operation: "make",
        path: program.name.into(),
        source,
    })?;
    let (id, manifest) = (Digest::of(&parts.config_bytes), Digest::of(&parts.manifest_bytes));
    let layer = Digest::of(&parts.layer);
    let lease = store.lease();
    for digest in [&id, &manifest, &layer] {
        lease.hold(digest);
    }
    let names = Reference::parse(program.name)
        .map(|reference| vec![reference.clone(), reference.with_digest(manifest.clone())])
        .unwrap_or_default();
    let known = store.images().get(&id)?;
    if known.is_some_and(|known| names.iter().all(|name| known.names.contains(name))) {
        return Ok((manifest, id, false));
    }
    store.content().write_as(&layer, &parts.layer)?;
    let unpacked = store.layers().unpack(&mut parts.layer.as_slice(), &layer)?;
    store.content().write_as(&id, &parts.config_bytes)?;
    store.content().write_as(&manifest, &parts.manifest_bytes)?;
    store.images().put(&ImageRecord {
        id: id.clone(),
        manifest: Descriptor::of(OCI_MANIFEST, &parts.manifest_bytes),
        config: parts.config,
        layers: vec![LayerRecord {
            diff_id: layer,
            blob: Some(Descriptor::of(OCI_LAYER, &parts.layer)),
        }],
        size: unpacked.size,
        stored_at: jiff::Timestamp::now().to_string(),
        names,
    })?;
    Ok((manifest, id, true))
}

fn assemble(program: &Program) -> std::io::Result<Parts> {
    let layer = archive(program)?;
    let config = configuration(program, Digest::of(&layer));
    let config_bytes = serde_json::to_vec(&config)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(OCI_CONFIG, &config_bytes),
        layers: vec![Descriptor::of(OCI_LAYER, &layer)],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let manifest_bytes = serde_json::to_vec(&manifest)?;
    Ok(Parts { layer, config, config_bytes, manifest_bytes })
}

/// The program, and the directories that every container has something mounted on.
fn archive(program: &Program) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    for directory in ["dev/", "etc/", "proc/", "sys/", "tmp/"] {
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if directory == "tmp/" { 0o1777 } else { 0o755 });
        header.set_size(0);
        builder.append_data(&mut header, directory, std::io::empty())?;
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o755);
    header.set_size(program.bytes.len() as u64);
    builder.append_data(&mut header, program.file, program.bytes)?;
    builder.into_inner()
}

fn configuration(program: &Program, diff_id: Digest) -> ImageConfig {
    let platform = Platform::host();
    let labels = [
        ("org.opencontainers.image.title", program.file),
        ("org.opencontainers.image.description", program.description),
        // It handles no signals: only below an init can it be interrupted.
        (INIT_LABEL, "true"),
    ];
    ImageConfig {
        created: Some(CREATED.to_owned()),
        architecture: platform.architecture,
        os: platform.os,
        config: ExecutionConfig {
            entrypoint: vec![format!("/{}", program.file)],
            exposed_ports: vec![program.port.to_owned()],
            working_dir: "/".to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..ExecutionConfig::default()
        },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
        history: vec![History {
            created: Some(CREATED.to_owned()),
            created_by: Some(format!("brig built-in /{}", program.file)),
            ..History::default()
        }],
        ..ImageConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use oci::Reference;

    use super::{PROGRAMS, assemble, find};

    #[test]
    fn the_image_is_always_the_same() {
        let [one, other] = [&PROGRAMS[0], &PROGRAMS[0]].map(|program| assemble(program).unwrap());
        assert_eq!(one.manifest_bytes, other.manifest_bytes);
        assert_eq!(one.layer, other.layer);
    }

    #[test]
    fn only_its_own_name_means_it() {
        let found = |name| find(&Reference::parse(name).unwrap()).is_some();
        assert!(found("hello") && found("docker.io/library/hello:latest"));
        assert!(!found("hello:1") && !found("me/hello") && !found("quay.io/library/hello"));
    }

    #[test]
    fn the_program_is_a_static_executable_of_modest_size() {
        let bytes = PROGRAMS[0].bytes;
        assert!(bytes.starts_with(b"\x7fELF"));
        // The standard library over a static C library is 1.05 MiB before the first own line.
        assert!(bytes.len() < 1_300_000, "{}", bytes.len());
    }
}
