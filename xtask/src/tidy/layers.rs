//! A room depends only on strictly lower lines; rooms on one line never see each other.

use std::collections::HashMap;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use serde::Deserialize;

use super::Finding;
use crate::Result;
use crate::peers::workspace_root;

#[derive(Deserialize)]
struct Architecture {
    layers: Vec<Vec<String>>,
    outside: Vec<String>,
}

/// What no room may depend on, whatever its line: the invariants of ARCHITECTURE.md.
const NEVER: &[(&str, &[&str])] = &[
    ("linux", &["tokio"]),
    ("runtime", &["tokio"]),
    ("storage", &["tokio"]),
    ("monitor", &["tokio"]),
    ("policy", &["tokio", "rustix", "libc"]),
    ("oci", &["tokio", "rustix", "libc"]),
    ("stdx", &["tokio"]),
    ("network", &["oci"]),
    ("registry", &["linux"]),
    ("cli", &["engine"]),
];

pub(super) fn check() -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new().current_dir(workspace_root()).no_deps().exec()?;
    let architecture: Architecture =
        serde_json::from_value(metadata.workspace_metadata["architecture"].clone())?;
    let line_of: HashMap<&str, usize> = architecture
        .layers
        .iter()
        .enumerate()
        .flat_map(|(line, rooms)| rooms.iter().map(move |room| (room.as_str(), line)))
        .collect();
    Ok(findings(&metadata, &architecture, &line_of))
}

fn findings(
    metadata: &Metadata,
    architecture: &Architecture,
    line_of: &HashMap<&str, usize>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let line = line_of.get(name).copied();
        let outside = architecture.outside.iter().any(|room| room == name);
        if line.is_none() && !outside {
            findings.push(Finding::new(name, "is on no line of the architecture"));
        }
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            if !outside && architecture.outside.iter().any(|room| room == target) {
                findings
                    .push(Finding::new(name, format!("uses {target}, which is for tests only")));
            }
            if let (Some(line), Some(below)) = (line, line_of.get(target))
                && *below >= line
            {
                findings
                    .push(Finding::new(name, format!("may not use {target}: not a lower line")));
            }
            let never = NEVER.iter().find(|(room, _)| *room == name).map_or(&[][..], |(_, n)| n);
            if never.contains(&target) {
                findings.push(Finding::new(name, format!("must never use {target}")));
            }
        }
    }
    findings
}
