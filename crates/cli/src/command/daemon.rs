//! `brig daemon` and `brig daemon install`.
//!
//! The daemon itself is a face of its own (see `face`): it must be chosen before any thread
//! starts, so this command is only reached for its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{Execute, Exit};
use crate::error::{Error, Result};
use crate::session::{Globals, Session};
use crate::{environment::Environment, output};

/// Run the daemon in the foreground
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DaemonCommand {
    #[command(subcommand)]
    pub(crate) command: Option<DaemonVerb>,
    #[command(flatten)]
    pub(crate) options: DaemonOptions,
}

/// Options of the daemon.
#[derive(Debug, Clone, Args)]
pub(crate) struct DaemonOptions {
    /// Also listen on /var/run/docker.sock
    #[arg(long)]
    pub(crate) docker_socket: bool,
    /// Also listen on an address (`unix:///path`, or `tcp://address:port` of the loopback)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,
    /// Started by a command, which waits for a line on standard output
    #[arg(long, hide = true)]
    pub(crate) on_demand: bool,
    /// The launcher that started the daemon again
    #[arg(long, value_name = "DESCRIPTOR", hide = true)]
    pub(crate) launcher_socket: Option<i32>,
    /// Be the launcher of a running daemon whose own has died
    #[arg(long, value_name = "PROCESS", hide = true)]
    pub(crate) launcher_for: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Write a systemd unit, so that the daemon can start with the machine
    Install(InstallOptions),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InstallOptions {
    /// Also listen on /var/run/docker.sock
    #[arg(long)]
    docker_socket: bool,
    /// Also listen on an address (`unix:///path`, or `tcp://address:port` of the loopback)
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where the unit is written
    #[arg(long, value_name = "FILE", default_value = daemon::UNIT_PATH)]
    unit: PathBuf,
}

impl Execute for DaemonCommand {
    async fn execute(self, _session: &Session) -> Result<Exit> {
        Err(Error::State("the daemon is chosen before any other command".to_owned()))
    }
}

/// Writes the unit and says how to start it.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn install(
    options: &InstallOptions,
    globals: &Globals,
    environment: &Environment,
) -> Result<Exit> {
    let program =
        std::env::current_exe().map_err(|source| Error::local("find", "this program", source))?;
    let mut words = Vec::new();
    for (option, path) in [("--root", &globals.root), ("--config", &globals.config)] {
        if let Some(path) = path {
            let path = environment.absolute(path).display().to_string();
            words.extend([option.to_owned(), path]);
        }
    }
    words.push("daemon".to_owned());
    if options.docker_socket {
        words.push("--docker-socket".to_owned());
    }
    for address in &options.listen {
        words.extend(["--listen".to_owned(), address.clone()]);
    }
    let unit = daemon::install_unit(&environment.absolute(&options.unit), &program, &words)
        .map_err(|error| Error::Daemon(Box::new(error)))?;
    let name = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
    output::line(format!("wrote {}", unit.display()))?;
    output::line(format!(
        "start it now and with the machine: systemctl daemon-reload && systemctl enable --now {name}"
    ))?;
    Ok(Exit::SUCCESS)
}
