//! `brig start`

use clap::Parser;
use docker_api::{Client, Query};

use super::flow::{self, Wanted};
use super::{act, inspected, path};
use crate::command::{Execute, Exit, each};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::terminal::{self, attached, attached::Wiring, signals::Caught};

/// Start one or more stopped containers
#[derive(Debug, Parser)]
pub(crate) struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The containers
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Execute for Start {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        if !self.attach && !self.interactive {
            let query = Query::new();
            let start = |container| act(client, container, "start", &query);
            return each::name(&self.containers, start).await.map_err(|error| {
                let names = self.containers.join(", ");
                Error::State(format!(
                    "{}\nError: failed to start containers: {names}",
                    error.text()
                ))
            });
        }
        match self.containers.as_slice() {
            [container] => self.attached(session, client, container).await,
            _ => Err(Error::State(
                "you cannot start and attach multiple containers at once".to_owned(),
            )),
        }
    }
}

impl Start {
    async fn attached(&self, session: &Session, client: &Client, container: &str) -> Result<Exit> {
        let inspect = inspected(client, container).await?;
        let id = &inspect.id;
        let tty = inspect.config.tty;
        let wanted = Wanted {
            stdin: self.interactive && inspect.config.open_stdin,
            stdout: true,
            stderr: true,
        };
        if wanted.stdin && tty && !terminal::stdin_is_terminal() {
            return Err(Error::State("the input device is not a TTY".to_owned()));
        }
        let detach_keys = session.detach_keys(self.detach_keys.as_deref())?;
        let condition = if inspect.host_config.auto_remove { "removed" } else { "next-exit" };
        let wiring = Wiring {
            path: path(id),
            stdin: wanted.stdin,
            output: true,
            tty,
            signals: (!tty).then(Caught::passed),
            detach_keys,
        };
        let (hijacked, wait) = futures_util::try_join!(
            flow::attach(client, id, wanted, &wiring.detach_keys),
            flow::begin_wait(client, id, condition),
        )?;
        act(client, id, "start", &Query::new()).await?;
        let ended = attached::run(client, hijacked, wiring).await?;
        flow::conclude(ended, wait).await
    }
}
