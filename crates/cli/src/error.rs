//! Why a command failed, what the user is told, and with which exit code.

use std::io;

use stdx::ErrorKind;

use crate::output::template;

/// The daemon refused or could not be reached; the exit code of `run` and its kin.
pub(crate) const DAEMON_FAILED: u8 = 125;

/// Result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed. Messages are Docker's where Docker has one: scripts match on them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call of the daemon failed.
    #[error("{}", call_text(.0))]
    Call(#[from] docker_api::Error),
    /// A progress stream told of a failure.
    #[error("{0}")]
    Stream(String),
    /// The command line means nothing.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// How the command is used; empty when that is not known.
        usage: String,
        /// The command, such as `brig run`.
        command: String,
        /// 125 for options, 1 for arguments, as Docker has it.
        code: u8,
    },
    /// The options contradict each other or name what is not there.
    #[error("{0}")]
    Options(String),
    /// An option that Docker has and brig does not.
    #[error("{option} is not supported by brig: {reason}")]
    Refused {
        /// The option.
        option: String,
        /// Why.
        reason: String,
    },
    /// `--format` is not a template, or a row does not have the field.
    #[error("template parsing error: {0}")]
    Template(#[from] template::Error),
    /// Standard output takes no more.
    #[error("cannot write output")]
    Output(#[source] io::Error),
    /// A file, terminal or process of the caller failed.
    #[error("{operation} {object}")]
    Local {
        /// What was tried, such as `open`.
        operation: &'static str,
        /// With what.
        object: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The daemon could not be started.
    #[error("cannot start the brig daemon")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The daemon ended badly.
    #[error("brig daemon")]
    Daemon(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// One thing cannot be done in the state that the other is in.
    #[error("{0}")]
    State(String),
    /// A file of settings cannot be read.
    #[error("error loading config file: {path}: {reason}")]
    Settings {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `run` or `create` failed; the exit code tells who failed.
    #[error("{source}")]
    Run {
        /// The failure.
        source: Box<Self>,
        /// `brig run`, `brig create`.
        command: &'static str,
        /// 125, 126 or 127.
        code: u8,
    },
    /// As the failure within, with an exit code of its own.
    #[error("{source}")]
    Exit {
        /// The failure.
        source: Box<Self>,
        /// 126 or 127.
        code: u8,
    },
    /// Several objects failed, each with its own message.
    #[error("{0}")]
    Several(String),
}

impl Error {
    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { code, .. } | Self::Run { code, .. } | Self::Exit { code, .. } => *code,
            Self::Options(_) | Self::Refused { .. } => DAEMON_FAILED,
            // What a shell shows of a program that wrote into a closed pipe.
            Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => 141,
            _ => 1,
        }
    }

    /// Whether nobody is there to be told.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the user could do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Template(error) => error.hint().map(str::to_owned),
            Self::Usage { command, usage, .. } => {
                let usage = match usage.as_str() {
                    "" => String::new(),
                    usage => format!("Usage:  {usage}\n\n"),
                };
                Some(format!("{usage}Run '{command} --help' for more information"))
            }
            Self::Run { source, command, .. } => Some(
                source
                    .hint()
                    .unwrap_or_else(|| format!("Run '{command} --help' for more information")),
            ),
            Self::Call(error) => match error {
                docker_api::Error::Connect { .. }
                    if error.kind() == ErrorKind::PermissionDenied =>
                {
                    Some("The socket belongs to root; run the command as root.".to_owned())
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The message with its causes, on one line where the causes allow it.
    pub(crate) fn text(&self) -> String {
        match self {
            // Their messages tell the cause already.
            Self::Call(_) | Self::Template(_) => self.to_string(),
            Self::Run { source, .. } | Self::Exit { source, .. } => source.text(),
            _ => stdx::chain(self),
        }
    }

    /// A failure of something of the caller.
    pub(crate) fn local(
        operation: &'static str,
        object: impl Into<String>,
        source: io::Error,
    ) -> Self {
        Self::Local { operation, object: object.into(), source }
    }

    /// The HTTP status that the daemon refused with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Call(error) => error.status(),
            _ => None,
        }
    }

    /// All failures of one command in one.
    ///
    /// # Errors
    /// When there is at least one.
    pub(crate) fn all(failures: &[Self]) -> Result<()> {
        if failures.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = failures.iter().map(Self::text).collect();
        Err(Self::Several(texts.join("\n")))
    }
}

/// What Docker's CLI says about a failed call.
fn call_text(error: &docker_api::Error) -> String {
    match error {
        docker_api::Error::Refused { message, .. } => {
            format!("Error response from daemon: {message}")
        }
        docker_api::Error::Connect { endpoint, .. } => {
            format!("Cannot connect to the brig daemon at {endpoint}. Is the brig daemon running?")
        }
        other => stdx::chain(other),
    }
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Self::Output(source)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAEMON_FAILED, Error};

    #[test]
    fn texts_and_codes() {
        let refused =
            Error::Call(docker_api::Error::Refused { status: 404, message: "no".to_owned() });
        assert_eq!(refused.to_string(), "Error response from daemon: no");
        assert_eq!((refused.exit_code(), refused.status()), (1, Some(404)));
        let run =
            Error::Run { source: Box::new(refused), command: "brig run", code: DAEMON_FAILED };
        assert_eq!(run.exit_code(), 125);
        assert!(run.hint().unwrap().contains("brig run --help"));
        let broken = Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(broken.is_silent());
        assert!(Error::all(&[]).is_ok());
    }
}
