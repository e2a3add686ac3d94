//! A failure as the user sees it: on standard error, with its causes and what to do.

use crate::error::{DAEMON_FAILED, Error};
use crate::output;

/// Prints the failure and returns the exit code.
pub(crate) fn failure(error: &Error) -> u8 {
    if !error.is_silent() {
        output::warn(text(error));
    }
    error.exit_code()
}

fn text(error: &Error) -> String {
    let prefix = match error {
        // Docker puts its name before complaints about arguments, not before those about flags.
        Error::Usage { code: DAEMON_FAILED, .. } => "",
        Error::Run { .. }
        | Error::Usage { .. }
        | Error::Options(_)
        | Error::Refused { .. }
        | Error::Start(_)
        | Error::Daemon(_) => "brig: ",
        _ => "",
    };
    format!("{prefix}{}{}", error.text(), hint(error))
}

fn hint(error: &Error) -> String {
    error.hint().map(|hint| format!("\n\n{hint}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Error, text};

    #[test]
    fn run_s_failures_carry_the_command() {
        let refused =
            Error::Call(docker_api::Error::Refused { status: 500, message: "no".to_owned() });
        assert_eq!(text(&refused), "Error response from daemon: no");
        let error = Error::Run { source: Box::new(refused), command: "brig run", code: 125 };
        assert_eq!(
            text(&error),
            "brig: Error response from daemon: no\n\nRun 'brig run --help' for more information"
        );
    }
}
