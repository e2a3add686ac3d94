//! One entry of `mounts`.

use serde::{Deserialize, Serialize};

use super::{IdMapping, nullable};

/// A mount in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Absolute path inside; made when missing.
    pub destination: String,
    /// Kind of file system; `bind`, `none` or absent with the option `bind` or `rbind`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Device, directory or dummy name; relative to the bundle for bind mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options as in fstab, and those the specification adds (`rro`, `tmpcopyup`, …).
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids mapped on the mount.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids mapped on the mount.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}
