//! Child processes whose failures tell what was run and what it said.
//!
//! For tests and chores only: nothing on the path of starting or stopping a container runs a
//! helper program.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Output};

/// A command failed to start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot run `{command}`")]
    Start {
        /// Program and arguments.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("`{command}` ended with {status}: {stderr}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// The exit status in words.
        status: String,
        /// What it wrote to standard error, trimmed.
        stderr: String,
    },
}

/// A command to be configured further; run it by [`output`] to get errors that explain.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the wrapper the lint points to")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs the command to its end and returns its output if it succeeded.
///
/// # Errors
/// [`Error::Start`] when it cannot be started, [`Error::Failed`] when its status is not zero.
pub fn output(command: &mut Command) -> Result<Output, Error> {
    let text = describe(command);
    let output =
        command.output().map_err(|source| Error::Start { command: text.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command: text, status: output.status.to_string(), stderr })
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{command, output};

    #[test]
    fn errors_name_the_command_and_its_words() {
        let error = output(command("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c echo no >&2; exit 3` ended with exit status: 3: no");
        assert!(output(&mut command("/nonexistent")).is_err());
    }
}
