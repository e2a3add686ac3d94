//! One command's surroundings: environment, options before the command, and the daemon.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use docker_api::Client;
use stdx::ErrorKind;

use crate::docker_settings::DockerSettings;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::start;
use crate::target::{self, Choice, Root, Target};

/// Options that stand before the command.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "brig",
    about = "Containers from one binary",
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
pub(crate) struct Globals {
    /// Daemon socket to connect to
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Directory of a daemon of its own: data in DIR/data, run-time state in DIR/run
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Configuration file of the daemon, when it is started (default: /etc/brig/config.toml)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name of the context to use to connect to the daemon
    #[arg(short, long)]
    pub(crate) context: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// Set the logging level ("debug", "info", "warn", "error")
    #[arg(short, long, value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error", "fatal"])]
    pub(crate) log_level: Option<String>,
    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
    /// Print help
    #[arg(short = 'h', long)]
    pub(crate) help: bool,
    /// The command and its words
    #[arg(trailing_var_arg = true, hide = true)]
    pub(crate) words: Vec<OsString>,
}

/// One command's surroundings.
#[derive(Debug)]
pub(crate) struct Session {
    /// The caller's environment.
    pub(crate) environment: Environment,
    /// Options before the command.
    pub(crate) globals: Globals,
    settings: OnceCell<DockerSettings>,
    client: OnceCell<Client>,
}

impl Session {
    /// Surroundings of one command; nothing is opened yet.
    pub(crate) fn new(environment: Environment, globals: Globals) -> Self {
        Self { environment, globals, settings: OnceCell::new(), client: OnceCell::new() }
    }

    /// The user's `~/.docker/config.json`, read at the first call.
    ///
    /// # Errors
    /// When it is not what Docker writes.
    pub(crate) fn settings(&self) -> Result<&DockerSettings> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let directory = self.environment.docker_directory();
        let settings = DockerSettings::load(directory.as_deref())?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// Which daemon is meant.
    ///
    /// # Errors
    /// When an address or context cannot be understood.
    pub(crate) fn target(&self) -> Result<Target> {
        let choice = Choice {
            host: self.globals.host.as_deref(),
            context: self.globals.context.as_deref(),
            root: self.globals.root.as_deref(),
        };
        target::choose(choice, &self.environment, || self.settings().cloned())
    }

    /// A client of the daemon, which is started when it is ours and does not answer.
    ///
    /// # Errors
    /// When there is no daemon and none can be started.
    pub(crate) async fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let target = self.target()?;
        let client = Client::new(target.endpoint());
        match &target {
            Target::Own(root) => self.connect_or_start(&client, root).await?,
            Target::Foreign(_) => drop(client.negotiate().await?),
        }
        Ok(self.client.get_or_init(|| client))
    }

    /// A client of a daemon that runs already; `None` when none answers at our own root.
    ///
    /// # Errors
    /// When a foreign daemon does not answer.
    pub(crate) async fn running_client(&self) -> Result<Option<&Client>> {
        let target = self.target()?;
        let client = Client::new(target.endpoint());
        match &target {
            Target::Own(_) => {
                if let Err(error) = client.connect().await {
                    return if is_absent(&error) { Ok(None) } else { Err(error.into()) };
                }
            }
            Target::Foreign(_) => drop(client.negotiate().await?),
        }
        Ok(Some(self.client.get_or_init(|| client)))
    }

    async fn connect_or_start(&self, client: &Client, root: &Root) -> Result<()> {
        match client.connect().await {
            Err(error) if is_absent(&error) => {}
            result => return Ok(result?),
        }
        start::on_demand(root, &self.globals, &self.environment)?;
        Ok(client.connect().await?)
    }

    /// The platform to ask for when the command line names none.
    pub(crate) fn platform(&self, given: Option<&str>) -> Option<String> {
        given.or_else(|| self.environment.text("DOCKER_DEFAULT_PLATFORM")).map(str::to_owned)
    }

    /// The keys that detach: given, configured, or Docker's.
    ///
    /// # Errors
    /// When the settings cannot be read.
    pub(crate) fn detach_keys(&self, given: Option<&str>) -> Result<String> {
        if let Some(keys) = given.filter(|keys| !keys.is_empty()) {
            return Ok(keys.to_owned());
        }
        let configured = &self.settings()?.detach_keys;
        Ok(if configured.is_empty() { "ctrl-p,ctrl-q".to_owned() } else { configured.clone() })
    }
}

/// Whether nobody listens there, as opposed to: we may not ask.
fn is_absent(error: &docker_api::Error) -> bool {
    matches!(error, docker_api::Error::Connect { .. })
        && error.kind() != ErrorKind::PermissionDenied
}

/// Fails a command that only brig's own daemon understands.
///
/// # Errors
/// When the daemon is somebody else's.
pub(crate) async fn require_brig(client: &Client, command: &str) -> Result<()> {
    let identity: docker_api::Result<docker_api::brig::Identity> =
        client.get(docker_api::brig::IDENTITY, &docker_api::Query::new()).await;
    match identity {
        Ok(_) => Ok(()),
        Err(docker_api::Error::Refused { status: 404 | 400, .. }) => Err(Error::State(format!(
            "`{command}` is a command of brig, and the daemon at {} is another engine",
            client.endpoint()
        ))),
        Err(error) => Err(error.into()),
    }
}
