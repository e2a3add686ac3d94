//! `brig run`

use clap::Parser;
use docker_api::container::CreateRequest;
use docker_api::{Client, Query};

use super::flow::{self, Wanted};
use super::{act, path};
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::options::{ContainerOptions, Mode};
use crate::output;
use crate::session::Session;
use crate::terminal::{self, attached, attached::Wiring, signals::Caught};

/// Create and run a new container from an image
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
pub(crate) struct Run {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Proxy received signals to the process
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
    #[command(flatten)]
    options: ContainerOptions,
    /// The image, and a command with its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    words: Vec<String>,
}

impl Execute for Run {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let mode = if self.detach { Mode::Detached } else { Mode::Attached };
        if self.detach && self.options.chooses_streams() {
            return Err(Error::State(
                "conflicting options: cannot specify both --attach and --detach".to_owned(),
            ));
        }
        let request = flow::request(session, &self.options, &self.words, mode)
            .map_err(flow::failed("brig run"))?;
        let config = &request.config;
        if config.attach_stdin && config.tty && !terminal::stdin_is_terminal() {
            return Err(Error::State("the input device is not a TTY".to_owned()));
        }
        let failed = flow::failed("brig run");
        let client = session.client().await.map_err(&failed)?;
        let id = flow::create(session, client, &self.options, &request).await.map_err(&failed)?;
        if config.attach_stdin || config.attach_stdout || config.attach_stderr {
            self.attached(session, client, &id, &request).await
        } else {
            self.start(client, &id).await?;
            if self.detach {
                output::line(&id)?;
            }
            Ok(Exit::SUCCESS)
        }
    }
}

impl Run {
    async fn attached(
        &self,
        session: &Session,
        client: &Client,
        id: &str,
        request: &CreateRequest,
    ) -> Result<Exit> {
        let failed = flow::failed("brig run");
        let config = &request.config;
        let detach_keys = session.detach_keys(self.detach_keys.as_deref())?;
        let wanted = Wanted {
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
        };
        let condition = if request.host_config.auto_remove { "removed" } else { "next-exit" };
        let wiring = Wiring {
            path: path(id),
            stdin: wanted.stdin,
            output: wanted.stdout || wanted.stderr,
            tty: config.tty,
            signals: (self.sig_proxy && !config.tty).then(Caught::passed),
            detach_keys,
        };
        // Neither output nor the end may be missed, so both are asked for before the start.
        let (hijacked, wait) = futures_util::try_join!(
            flow::attach(client, id, wanted, &wiring.detach_keys),
            flow::begin_wait(client, id, condition),
        )
        .map_err(&failed)?;
        if let Err(error) = self.start(client, id).await {
            if request.host_config.auto_remove {
                // It is gone when the wait ends.
                drop(flow::finish_wait(wait).await);
            }
            return Err(error);
        }
        let ended = attached::run(client, hijacked, wiring).await?;
        flow::conclude(ended, wait).await
    }

    async fn start(&self, client: &Client, id: &str) -> Result<()> {
        act(client, id, "start", &Query::new()).await.map_err(|error| {
            let code = flow::start_code(&error);
            Error::Run { source: Box::new(error), command: "brig run", code }
        })
    }
}
