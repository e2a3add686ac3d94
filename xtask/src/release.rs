//! The release build of brig.

use crate::{Result, peers};

/// Builds it and returns the program's path.
pub(crate) fn build() -> Result<String> {
    let output = stdx::process::output(
        stdx::process::command("cargo").current_dir(peers::workspace_root()).args([
            "build",
            "--release",
            "--package",
            "cli",
            "--message-format",
            "json",
        ]),
    )?;
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(message["executable"].as_str()?.to_owned()))
        .ok_or_else(|| "cargo named no executable".into())
}
