//! Help: of everything, of a group, of a command.

use clap::{Command, CommandFactory};

use super::Verb;
use super::tree::{Group, ROOT, Word};
use crate::error::Result;
use crate::output;
use crate::session::Globals;

/// Commands shown first.
const USUAL: &[&str] = &["run", "exec", "ps", "pull", "images", "version", "info"];

/// Prints the help of a group; for the whole of brig with the options before the command.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_help(group: &Group, name: &str) -> Result<()> {
    let mut text = format!("Usage:  {name} {}COMMAND\n\n{}\n", options_word(group), group.about);
    let is_root = group.name == ROOT.name;
    if is_root {
        section(&mut text, "Common Commands", rows(group, |name, _| USUAL.contains(&name)));
        section(
            &mut text,
            "Management Commands",
            rows(group, |_, word| matches!(word, Word::Group(_))),
        );
        let other =
            |name: &str, word: &Word| !USUAL.contains(&name) && matches!(word, Word::Verb(_));
        section(&mut text, "Commands", rows(group, other));
        text.push_str("\nGlobal Options:\n");
        text.push_str(&options(Globals::command()));
    } else {
        section(&mut text, "Commands", rows(group, |_, _| true));
    }
    text.push_str(&format!("\nRun '{name} COMMAND --help' for more information on a command.\n"));
    Ok(output::write(&text)?)
}

fn options_word(group: &Group) -> &'static str {
    if group.name == ROOT.name { "[OPTIONS] " } else { "" }
}

fn rows(group: &Group, wanted: impl Fn(&str, &Word) -> bool) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (names, word) in group.words {
        let name = names.first().copied().unwrap_or_default();
        if wanted(name, word) {
            let about = match word {
                Word::Group(group) => group.about.to_owned(),
                Word::Verb(verb) => about(verb),
            };
            rows.push((name.to_owned(), about));
        }
    }
    rows
}

fn about(verb: &Verb) -> String {
    (verb.command)().get_about().map(ToString::to_string).unwrap_or_default()
}

fn section(text: &mut String, heading: &str, rows: Vec<(String, String)>) {
    text.push_str(&format!("\n{heading}:\n"));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, about) in rows {
        text.push_str(&format!("  {name:width$}   {about}\n"));
    }
}

fn options(command: Command) -> String {
    command.help_template("{options}").render_help().to_string() + "\n"
}

/// Prints the help of a command.
///
/// # Errors
/// When standard output takes no more.
pub(super) fn print_verb(verb: Verb, name: &str) -> Result<()> {
    let command = (verb.command)();
    let usage = super::usage::line(&command, name);
    let command = command
        .bin_name(name)
        .override_usage(usage)
        .help_template("{usage-heading}  {usage}\n\n{about-with-newline}\n{all-args}{after-help}");
    let mut command = if output::is_terminal() { command } else { command.term_width(100) };
    Ok(output::write(&command.render_help().to_string())?)
}

/// Prints what `--version` prints.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_version() -> Result<()> {
    Ok(output::line(format!("brig version {}", env!("CARGO_PKG_VERSION")))?)
}

/// Clap's tree of everything, for completion scripts and checks.
pub(crate) fn full_tree() -> Command {
    fill(Globals::command().mut_arg("words", |words| words.hide(true)), &ROOT)
}

fn fill(mut command: Command, group: &Group) -> Command {
    for (names, word) in group.words {
        let name = names.first().copied().unwrap_or_default();
        let aliases = names.iter().skip(1).copied();
        let child = match word {
            Word::Verb(verb) => (verb.command)().name(name),
            Word::Group(group) => fill(Command::new(name).about(group.about), group),
        };
        command = command.subcommand(child.visible_aliases(aliases));
    }
    command
}
