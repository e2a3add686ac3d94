//! Layers: archives made into something that overlay takes as a lower.
//!
//! A layer is kept by its **diff id** (the digest of its uncompressed archive), not by its chain id:
//! an overlay lower does not depend on what lies below it, so one unpacked copy serves every image
//! that has the layer, on whatever base.

pub(crate) mod attributes;
mod directories;
pub(crate) mod name;
mod pipe;
mod unpack;

use std::fmt::Debug;
use std::io::Read;
use std::path::PathBuf;

use oci::Digest;
use serde::{Deserialize, Serialize};

pub(crate) use directories::Directories;
pub(crate) use pipe::decoder;

use crate::Result;

/// What an unpacked layer is to a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Lower {
    /// A directory with overlay's whiteouts and opaque marks.
    Directory(PathBuf),
}

/// A layer that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackedLayer {
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The sum of the sizes of its files, in bytes; hard links count once.
    pub size: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Whether it hides everything below it.
    #[serde(default)]
    pub opaque: bool,
}

/// Makes layers out of archives. One implementation unpacks to directories; another may mount the
/// archive without unpacking it.
pub trait Snapshotter: Send + Sync + Debug {
    /// Whether the layer is here, whole.
    fn has(&self, diff_id: &Digest) -> bool;

    /// The layer, if it is here.
    fn get(&self, diff_id: &Digest) -> Option<UnpackedLayer>;

    /// Reads an archive (gzip, zstd or plain) and makes a layer of it. It is durable after
    /// [`crate::Store::sync`]. A layer that is here already is not unpacked again; the reader is
    /// then not read.
    ///
    /// # Errors
    /// [`crate::Error::Layer`] when the archive is corrupt, hostile or not the one `diff_id` names,
    /// and when there is no space; nothing is left of it then.
    fn unpack(&self, reader: &mut (dyn Read + Send), diff_id: &Digest) -> Result<UnpackedLayer>;

    /// What a mount takes.
    ///
    /// # Errors
    /// `NotFound` when it is not here.
    fn lower(&self, diff_id: &Digest) -> Result<Lower>;

    /// All layers.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> Result<Vec<UnpackedLayer>>;
}
