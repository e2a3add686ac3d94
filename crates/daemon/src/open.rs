//! Opening the engine.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{Engine, EngineOptions};
use monitor::client::Launcher;
use monitor::launcher::Restart;

use crate::{Error, Result, Roots};

/// This program as a file.
const EXECUTABLE: &str = "/proc/self/exe";

/// The launcher, and how another is started when it has died.
#[derive(Debug)]
pub(crate) struct Launchers {
    pub(crate) now: Launcher,
    pub(crate) another: Option<Restart>,
}

/// Opens the engine of a root. When that fails the launcher is told that the daemon ends, for it
/// would start it again, only to find the same.
pub(crate) async fn engine(
    roots: &Roots,
    registries: registry::Config,
    launchers: Launchers,
) -> Result<Arc<Engine>> {
    let Launchers { now: launcher, another } = launchers;
    let spare = launcher.notices();
    let options = EngineOptions {
        layout: roots.layout(),
        launcher,
        relaunch: another,
        registry: registries,
        executable: fs::read_link(EXECUTABLE).unwrap_or_else(|_| PathBuf::from(EXECUTABLE)),
    };
    Engine::open(options).await.map_err(|error| {
        if let Ok(launcher) = spare.and_then(monitor::launcher::adopt) {
            dismiss(&launcher);
        }
        Error::Engine(error)
    })
}

/// Tells the launcher that the daemon ends on purpose.
pub(crate) fn dismiss(launcher: &Launcher) {
    if let Err(error) = launcher.shutdown() {
        tracing::debug!(error = %stdx::chain(&error), "the launcher is gone");
    }
}
