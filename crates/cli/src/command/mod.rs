//! Commands: a tree of words, and one file for each command.
//!
//! A command is a clap `Parser` whose doc comment is its help, and [`Execute`]. Only the command
//! that was called is built: clap's tree for all of them would cost more than `brig ps` may take.

mod completion;
pub(crate) mod container;
mod daemon;
mod document_format;
mod each;
mod filter;
mod help;
mod image;
mod inspect;
mod network;
mod prune;
mod system;
mod timestamp;
mod tree;
mod usage;
mod volume;

pub(crate) use daemon::{DaemonCommand, DaemonOptions, DaemonVerb, install};
pub(crate) use help::{print_help, print_version};
pub(crate) use tree::{Found, find};
pub(crate) use usage::error as usage_error;

use std::future::Future;
use std::pin::Pin;

use clap::ArgMatches;

use crate::error::Result;
use crate::session::Session;

/// The exit code of a command that did not fail: a container's own, or 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// All went well.
    pub(crate) const SUCCESS: Self = Self(0);

    /// The exit status of a container, as a process can pass it on.
    pub(crate) fn of_status(status: i64) -> Self {
        Self(u8::try_from(status & 0xff).unwrap_or(1))
    }
}

/// What a command does.
pub(crate) trait Execute: clap::Parser {
    /// Runs it.
    async fn execute(self, session: &Session) -> Result<Exit>;
}

/// A command with its type forgotten.
#[derive(Clone, Copy)]
pub(crate) struct Verb {
    /// Its options and help.
    pub(crate) command: fn() -> clap::Command,
    /// Runs it.
    pub(crate) run: for<'a> fn(&'a mut ArgMatches, &'a Session) -> Running<'a>,
}

/// A command at work.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Exit>> + 'a>>;

impl Verb {
    /// The command `T`.
    pub(crate) const fn of<T: Execute + 'static>() -> Self {
        Self { command: T::command, run: run::<T> }
    }
}

fn run<'a, T: Execute + 'static>(matches: &'a mut ArgMatches, session: &'a Session) -> Running<'a> {
    Box::pin(async move {
        let command = T::from_arg_matches_mut(matches)
            .map_err(|error| usage_error(&error, &T::command(), "brig"))?;
        command.execute(session).await
    })
}

/// Parses the words of a command and runs it. `name` is how it was called, such as `brig run`.
///
/// # Errors
/// A wrong command line, and whatever the command fails with.
pub(crate) async fn execute(
    verb: Verb,
    name: &str,
    words: &[std::ffi::OsString],
    session: &Session,
) -> Result<Exit> {
    let command = switches((verb.command)().bin_name(name).no_binary_name(true));
    match command.try_get_matches_from(words) {
        Ok(mut matches) => (verb.run)(&mut matches, session).await,
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            help::print_verb(verb, name)?;
            Ok(Exit::SUCCESS)
        }
        Err(error) => Err(usage_error(&error, &(verb.command)(), name)),
    }
}

/// Lets switches take values as Docker's do (`--rm=false`), and lets the last of several win.
pub(crate) fn switches(command: clap::Command) -> clap::Command {
    command.args_override_self(true).mut_args(|argument| {
        if !matches!(argument.get_action(), clap::ArgAction::SetTrue) {
            return argument;
        }
        argument
            .action(clap::ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_parser(clap::builder::BoolishValueParser::new())
    })
}
