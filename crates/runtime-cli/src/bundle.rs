//! A bundle: a directory with `config.json` and a root file system.

use std::path::{Path, PathBuf};

use oci::runtime::{Spec, spec_from_json};

use crate::Failure;

/// A bundle that was read.
pub(crate) struct Bundle {
    /// Absolute.
    pub(crate) directory: PathBuf,
    /// Its configuration.
    pub(crate) spec: Spec,
}

impl Bundle {
    /// Reads the bundle in this directory, the present one when `None`.
    pub(crate) fn read(directory: Option<&str>) -> Result<Self, Failure> {
        let directory = Path::new(directory.unwrap_or("."));
        let absolute = std::path::absolute(directory)
            .map_err(|error| format!("bundle {}: {error}", directory.display()))?;
        let path = absolute.join("config.json");
        let text =
            std::fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let spec =
            spec_from_json(&text).map_err(|error| format!("parse {}: {error}", path.display()))?;
        Ok(Self { directory: absolute, spec })
    }

    /// The root file system's directory.
    pub(crate) fn rootfs(&self) -> Result<PathBuf, Failure> {
        let root = self.spec.root.as_ref().map(|root| root.path.as_str());
        match root {
            Some(path) if !path.is_empty() => Ok(self.directory.join(path)),
            _ => Err(Failure::from("config.json: root.path is missing".to_owned())),
        }
    }

    /// Whether the process wants a terminal.
    pub(crate) fn terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}
