//! The options of `run` and `create`, read twice: as typed, then as meant.
//!
//! ```text
//! words ──clap──▶ ContainerOptions (typed) ──meant──▶ docker_api CreateRequest
//! ```
//! The second step is pure: files and variables come through [`Surroundings`].

mod health;
mod key_value;
mod meant;
mod mount;
mod network;
mod port;
mod security;
mod typed;
pub(crate) mod value;

use std::io;
use std::path::Path;

pub(crate) use key_value::{environment, label_map};
pub(crate) use meant::{Meant, Mode, meant};
pub(crate) use typed::ContainerOptions;

/// What options refer to outside of the command line.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// A variable of the caller's environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a text file.
    pub(crate) read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Where relative paths begin.
    pub(crate) directory: &'a Path,
}

/// Comma-separated fields; a field may stand in double quotes (doubled inside), as Go's
/// `encoding/csv` reads one line.
fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    #[test]
    fn quoted_fields_may_hold_commas() {
        assert_eq!(super::csv("a,b=c"), ["a", "b=c"]);
        assert_eq!(super::csv(r#""a,b",c"#), ["a,b", "c"]);
        assert_eq!(super::csv(r#""say ""hi""",x"#), [r#"say "hi""#, "x"]);
        assert_eq!(super::csv(""), [""]);
    }
}
