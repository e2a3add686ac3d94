//! `brig attach`

use clap::Parser;
use docker_api::container::Inspect;

use super::flow::{self, Wanted};
use super::{inspected, path};
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::terminal::{self, attached, attached::Wiring, signals::Caught};

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, Parser)]
pub(crate) struct Attach {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(
        long, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
    /// The container
    container: String,
}

impl Execute for Attach {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let inspect = inspected(client, &self.container).await?;
        refuse_unattachable(&inspect)?;
        let tty = inspect.config.tty;
        let stdin = !self.no_stdin && inspect.config.open_stdin;
        if stdin && tty && !terminal::stdin_is_terminal() {
            return Err(Error::State("the input device is not a TTY".to_owned()));
        }
        let id = &inspect.id;
        let detach_keys = session.detach_keys(self.detach_keys.as_deref())?;
        let wanted = Wanted { stdin, stdout: true, stderr: true };
        let (wait, hijacked) = futures_util::try_join!(
            flow::begin_wait(client, id, "not-running"),
            flow::attach(client, id, wanted, &detach_keys),
        )?;
        let wiring = Wiring {
            path: path(id),
            stdin,
            output: true,
            tty,
            signals: (self.sig_proxy && !tty).then(Caught::passed),
            detach_keys,
        };
        let ended = attached::run(client, hijacked, wiring).await?;
        flow::conclude(ended, wait).await
    }
}

fn refuse_unattachable(inspect: &Inspect) -> Result<()> {
    let state = &inspect.state;
    let problem = if !state.running {
        "stopped container, start it first"
    } else if state.paused {
        "paused container, unpause it first"
    } else if state.restarting {
        "restarting container, wait until it is running"
    } else {
        return Ok(());
    };
    Err(Error::State(format!("cannot attach to a {problem}")))
}
