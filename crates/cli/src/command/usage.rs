//! Clap's complaints in Docker's words, with Docker's exit codes.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::error::{DAEMON_FAILED, Error};

/// The complaint about the command line of `command`, which was called `name`.
pub(crate) fn error(error: &clap::Error, command: &Command, name: &str) -> Error {
    let usage = |message: String, code: u8| Error::Usage {
        message,
        usage: line(command, name),
        command: name.to_owned(),
        code,
    };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let argument = text(error, ContextKind::InvalidArg);
            match unknown_flag(&argument) {
                Some(message) => usage(message, DAEMON_FAILED),
                None => usage(format!("'{name}' {}", arity(command)), 1),
            }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if !missing_value(error) => {
            let option = option(command, &text(error, ContextKind::InvalidArg));
            let value = text(error, ContextKind::InvalidValue);
            let reason = reason(error);
            let message = format!("invalid argument {value:?} for {option:?} flag: {reason}");
            usage(message, DAEMON_FAILED)
        }
        ErrorKind::InvalidValue => {
            let option = text(error, ContextKind::InvalidArg);
            let option = option.split([' ', '=']).next().unwrap_or_default().to_owned();
            usage(format!("flag needs an argument: {option}"), DAEMON_FAILED)
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::TooManyValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::TooFewValues => usage(format!("'{name}' {}", arity(command)), 1),
        _ => {
            let whole = error.to_string();
            let first = whole.lines().next().unwrap_or_default();
            usage(first.trim_start_matches("error: ").to_owned(), DAEMON_FAILED)
        }
    }
}

fn unknown_flag(argument: &str) -> Option<String> {
    if argument.starts_with("--") {
        return Some(format!("unknown flag: {argument}"));
    }
    let letter = argument.strip_prefix('-').filter(|letter| !letter.is_empty())?;
    Some(format!("unknown shorthand flag: '{letter}' in {argument}"))
}

/// `brig run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
pub(super) fn line(command: &Command, name: &str) -> String {
    let mut line = name.to_owned();
    if command.get_arguments().any(|argument| !argument.is_positional()) {
        line.push_str(" [OPTIONS]");
    }
    for argument in command.get_positionals() {
        line.push(' ');
        line.push_str(&positional(argument));
    }
    line
}

fn positional(argument: &Arg) -> String {
    let names: Vec<String> = match argument.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![argument.get_id().as_str().to_ascii_uppercase()],
    };
    let least = least(argument);
    match names.as_slice() {
        [name] if is_many(argument) && least > 0 => format!("{name} [{name}...]"),
        [name] if is_many(argument) => format!("[{name}...]"),
        [name] if least > 0 || name.starts_with('[') => name.clone(),
        [name] => format!("[{name}]"),
        [first, second, ..] if least > 1 => format!("{first} {second} [ARG...]"),
        [first, second, ..] => format!("{first} [{second}] [ARG...]"),
        [] => String::new(),
    }
}

fn is_many(argument: &Arg) -> bool {
    matches!(argument.get_action(), clap::ArgAction::Append)
}

/// The least number of words that the argument takes.
fn least(argument: &Arg) -> usize {
    match (argument.is_required_set(), argument.get_num_args()) {
        (false, _) => 0,
        (true, Some(range)) => range.min_values().max(1),
        (true, None) => 1,
    }
}

/// How many arguments a command takes, in Docker's words.
fn arity(command: &Command) -> String {
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let least: usize = positionals.iter().map(|argument| least(argument)).sum();
    let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
    if positionals.is_empty() {
        "accepts no arguments".to_owned()
    } else if positionals.iter().any(|argument| is_many(argument)) {
        format!("requires at least {least} {}", plural(least))
    } else if least == positionals.len() {
        format!("requires {least} {}", plural(least))
    } else if least == 0 {
        format!("accepts at most {} {}", positionals.len(), plural(positionals.len()))
    } else {
        format!("requires at least {least} and at most {} arguments", positionals.len())
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn missing_value(error: &clap::Error) -> bool {
    text(error, ContextKind::InvalidValue).is_empty() && std::error::Error::source(error).is_none()
}

/// `--memory <BYTES>` → `-m, --memory`.
fn option(command: &Command, argument: &str) -> String {
    let long = argument.split([' ', '=']).next().unwrap_or_default();
    let bare = long.trim_start_matches('-');
    let short = command
        .get_arguments()
        .find(|known| known.get_long() == Some(bare))
        .and_then(Arg::get_short);
    match short {
        Some(short) => format!("-{short}, {long}"),
        None => long.to_owned(),
    }
}

fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("must be one of {}", values.join(", ")),
        _ => "invalid value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{arity, error, line};
    use crate::command::container::{exec, list, logs, rm, run};

    #[test]
    fn usage_is_docker_s() {
        let run = run::Run::command();
        assert_eq!(line(&run, "brig run"), "brig run [OPTIONS] IMAGE [COMMAND] [ARG...]");
        let exec = exec::Exec::command();
        assert_eq!(line(&exec, "brig exec"), "brig exec [OPTIONS] CONTAINER COMMAND [ARG...]");
        let rm = rm::Remove::command();
        assert_eq!(line(&rm, "brig rm"), "brig rm [OPTIONS] CONTAINER [CONTAINER...]");
        assert_eq!(arity(&run), "requires at least 1 argument");
        assert_eq!(arity(&exec), "requires at least 2 arguments");
        assert_eq!(arity(&list::List::command()), "accepts no arguments");
        assert_eq!(arity(&logs::Logs::command()), "requires 1 argument");
    }

    #[test]
    fn complaints_are_docker_s() {
        let complain = |words: &[&str]| {
            let command = crate::command::switches(run::Run::command().no_binary_name(true));
            let wrong = command.clone().try_get_matches_from(words).unwrap_err();
            let error = error(&wrong, &command, "brig run");
            (error.to_string(), error.exit_code())
        };
        let told = |text: &str, code: u8| (text.to_owned(), code);
        assert_eq!(complain(&["--nope", "x"]), told("unknown flag: --nope", 125));
        assert_eq!(complain(&["-y", "x"]), told("unknown shorthand flag: 'y' in -y", 125));
        assert_eq!(complain(&[]), told("'brig run' requires at least 1 argument", 1));
        assert_eq!(complain(&["-m"]), told("flag needs an argument: --memory", 125));
        assert_eq!(
            complain(&["-m", "x", "y"]),
            told("invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'", 125)
        );
    }
}
