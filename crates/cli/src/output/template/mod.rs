//! Go templates (`text/template`), as far as people use them with `--format`.
//!
//! ```text
//! text ──lexer──▶ tokens ──parser──▶ nodes ──evaluator(+ value)──▶ text
//! ```
//! Fields, pipelines, `if`/`range`/`with`, variables, comparison and Docker's functions. Not there:
//! `define`, `template`, `block`, `call` and the HTML helpers: using one is an error that says so.

mod evaluator;
mod function;
mod lexer;
mod parser;
mod print;
mod value;

use std::fmt;

pub(crate) use function::Functions;
pub(crate) use print::{Escape, go_text, json_text};
pub(crate) use value::{Map, Method, Value};

/// Where and why a template is wrong or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Error {
    position: Position,
    /// The piece of source that failed while executing; `None` for an error of parsing.
    at: Option<String>,
    message: String,
    hint: Option<String>,
}

impl Error {
    fn parse(position: Position, message: impl Into<String>) -> Self {
        Self { position, at: None, message: message.into(), hint: None }
    }

    fn execute(position: Position, at: &str, failure: Failure) -> Self {
        let Failure { message, hint } = failure;
        Self { position, at: Some(at.to_owned()), message, hint }
    }

    /// What the user may have meant.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        match &self.at {
            None => write!(formatter, "template: :{line}: {}", self.message),
            Some(at) => write!(
                formatter,
                "template: :{line}:{column}: executing \"\" at <{at}>: {}",
                self.message
            ),
        }
    }
}

/// A failure of a function or field, before it is known where in the source it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// A place in the source: line from 1, column in bytes from 0, as Go counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    line: usize,
    column: usize,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<parser::Node>,
}

impl Template {
    /// Parses the source.
    ///
    /// # Errors
    /// When the source is not a template.
    pub(crate) fn parse(source: &str) -> Result<Self, Error> {
        Ok(Self { nodes: parser::parse(source)? })
    }

    /// The text that the template makes of `root`.
    ///
    /// # Errors
    /// When a field is missing or a function does not take its arguments.
    pub(crate) fn render(&self, root: &Value, functions: Functions) -> Result<String, Error> {
        evaluator::render(&self.nodes, root, functions)
    }
}

#[cfg(test)]
mod tests;
