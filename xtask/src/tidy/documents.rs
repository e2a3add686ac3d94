//! The documents name every room, and README shows the commands that work.

use std::fs;

use super::Finding;
use crate::Result;
use crate::peers::workspace_root;

/// Documents that the repository must have.
const REQUIRED: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md", "CHANGELOG.md"];

/// Commands that README promises.
const PROMISED: &[&str] = &["cargo run --release -- run --rm hello", "cargo xtask test"];

pub(super) fn check() -> Result<Vec<Finding>> {
    let root = workspace_root();
    let mut findings = Vec::new();
    for document in REQUIRED {
        if !root.join(document).is_file() {
            findings.push(Finding::new(*document, "is missing"));
        }
    }
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for entry in fs::read_dir(root.join("crates"))? {
        let room = entry?.file_name().to_string_lossy().into_owned();
        if !architecture.contains(&format!("`{room}`")) {
            findings.push(Finding::new("ARCHITECTURE.md", format!("does not name `{room}`")));
        }
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    for command in PROMISED {
        if !readme.contains(command) {
            findings.push(Finding::new("README.md", format!("does not show `{command}`")));
        }
    }
    if !fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default().contains("## Unreleased")
    {
        findings.push(Finding::new("CHANGELOG.md", "has no `## Unreleased`"));
    }
    Ok(findings)
}
