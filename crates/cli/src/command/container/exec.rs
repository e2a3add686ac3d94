//! `brig exec`

use std::path::PathBuf;

use clap::Parser;
use docker_api::exec::{CreateRequest, CreateResponse, Inspect, StartRequest};
use docker_api::{Client, Query};

use super::{flow, path};
use crate::command::{Execute, Exit};
use crate::error::{DAEMON_FAILED, Error, Result};
use crate::options::{Surroundings, environment};
use crate::output;
use crate::session::Session;
use crate::terminal;
use crate::terminal::attached::{self, Ended, Wiring};

/// Execute a command in a running container
#[derive(Debug, Parser)]
pub(crate) struct Exec {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, default_value = "", hide_default_value = true)]
    user: String,
    /// Working directory inside the container
    #[arg(short, long, default_value = "", hide_default_value = true)]
    workdir: String,
    /// The container, and the command with its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    words: Vec<String>,
}

impl Execute for Exec {
    async fn execute(self, session: &Session) -> Result<Exit> {
        if self.interactive && self.tty && !self.detach && !terminal::stdin_is_terminal() {
            return Err(Error::State("the input device is not a TTY".to_owned()));
        }
        let detach_keys = session.detach_keys(self.detach_keys.as_deref())?;
        let (container, request) = self.request(session, &detach_keys)?;
        let client = session.client().await?;
        let created: CreateResponse =
            client.post(&format!("{}/exec", path(container)), &Query::new(), &request).await?;
        let start =
            StartRequest { detach: self.detach, tty: self.tty, console_size: request.console_size };
        let exec = format!("/exec/{}", created.id);
        if self.detach {
            let () = client.post(&format!("{exec}/start"), &Query::new(), &start).await?;
            return Ok(Exit::SUCCESS);
        }
        self.attached(client, exec, &start, detach_keys).await
    }
}

impl Exec {
    fn request(&self, session: &Session, detach_keys: &str) -> Result<(&str, CreateRequest)> {
        let (container, command) = self
            .words
            .split_first()
            .ok_or_else(|| Error::State("requires at least 2 arguments".to_owned()))?;
        let around = Surroundings {
            variable: &|name| session.environment.variable(name),
            read: &|path| std::fs::read_to_string(session.environment.absolute(path)),
            directory: session.environment.directory(),
        };
        let attached = !self.detach;
        let request = CreateRequest {
            user: self.user.clone(),
            privileged: self.privileged,
            tty: self.tty,
            console_size: (self.tty && terminal::size() != [0, 0]).then(terminal::size),
            attach_stdin: attached && self.interactive,
            attach_stdout: attached,
            attach_stderr: attached,
            detach: self.detach,
            detach_keys: detach_keys.to_owned(),
            env: environment(&self.env, &self.env_file, &around).map_err(Error::Options)?,
            working_dir: self.workdir.clone(),
            cmd: command.to_vec(),
        };
        Ok((container, request))
    }

    async fn attached(
        &self,
        client: &Client,
        exec: String,
        start: &StartRequest,
        detach_keys: String,
    ) -> Result<Exit> {
        let opened = client.hijack(&format!("{exec}/start"), &Query::new(), Some(start)).await;
        let hijacked = match opened {
            Ok(hijacked) => hijacked,
            Err(error) => return Err(not_started(error.into())),
        };
        let wiring = Wiring {
            path: exec.clone(),
            stdin: self.interactive,
            output: true,
            tty: self.tty,
            signals: None,
            detach_keys,
        };
        match attached::run(client, hijacked, wiring).await? {
            Ended::Closed => {}
            Ended::Detached => {
                output::warn("read escape sequence");
                return Ok(Exit::SUCCESS);
            }
            Ended::Interrupted(number) => return Ok(Exit::of_status(i64::from(128 + number))),
        }
        let inspect: Inspect = client.get(&format!("{exec}/json"), &Query::new()).await?;
        Ok(Exit::of_status(inspect.exit_code.unwrap_or_default()))
    }
}

/// 127 and 126 for a command that is not there or cannot be executed, as with `run`.
fn not_started(error: Error) -> Error {
    match flow::start_code(&error) {
        DAEMON_FAILED => error,
        code => Error::Exit { source: Box::new(error), code },
    }
}
