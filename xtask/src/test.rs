//! `cargo xtask test`: the peers, then every test of the workspace.

use crate::{Result, peers};

/// Installs the peers and runs `cargo test` over the workspace; `filter` goes to the test harness.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    peers::install()?;
    let python = peers::python_environment()?;
    let mut command = stdx::process::command("cargo");
    command
        .current_dir(peers::workspace_root())
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("BRIG_TEST_PYTHON", python)
        .args(filter);
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("the tests ended with {status}").into()) }
}
