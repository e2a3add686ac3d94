//! The release build: `brig`, and the runtime alone.

use std::path::PathBuf;

use crate::{Result, peers};

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Release {
    /// `brig`.
    pub(crate) brig: PathBuf,
    /// `brig-runtime`.
    pub(crate) runtime: PathBuf,
}

/// Builds them.
pub(crate) fn build() -> Result<Release> {
    let output = stdx::process::output(
        stdx::process::command("cargo").current_dir(peers::workspace_root()).args([
            "build",
            "--release",
            "--package",
            "cli",
            "--package",
            "runtime-cli",
            "--message-format",
            "json",
        ]),
    )?;
    let text = String::from_utf8(output.stdout)?;
    let named = |name: &str| {
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
            .ok_or_else(|| format!("cargo named no executable {name}"))
    };
    Ok(Release { brig: named("brig")?, runtime: named("brig-runtime")? })
}
