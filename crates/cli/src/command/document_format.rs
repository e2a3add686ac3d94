//! `--format` of commands that print one document: JSON or a Go template.

use crate::error::{Error, Result};
use crate::output::template::Template;

/// Docker's exit code for a `--format` that is no template.
const NOT_A_TEMPLATE: u8 = 64;

/// The template asked for; `None` for the usual text.
///
/// # Errors
/// When the text is no template.
pub(super) fn template(format: Option<&str>) -> Result<Option<Template>> {
    let source = match format {
        None | Some("") => return Ok(None),
        Some("json") => "{{json .}}",
        Some(source) => source,
    };
    Template::parse(source)
        .map(Some)
        .map_err(|error| Error::Exit { source: Box::new(error.into()), code: NOT_A_TEMPLATE })
}
