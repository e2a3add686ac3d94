//! The architecture as a test: layers, limits, names, documents, lists of skips and refusals.
//!
//! Each check is a function from the tree to findings; `cargo test` and `cargo xtask tidy` fail on
//! the first room that has one.

mod documents;
mod fields;
mod layers;
mod limits;
mod lists;
mod names;
mod source;

use crate::Result;

/// One thing that is not as it should be: where, and what.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    problem: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

type Check = fn() -> Result<Vec<Finding>>;

const CHECKS: [(&str, Check); 6] = [
    ("layers", layers::check),
    ("limits", limits::check),
    ("names", names::check),
    ("documents", documents::check),
    ("lists", lists::check),
    ("fields", fields::check),
];

/// Writes the table of the fields of the OCI runtime specification.
pub(crate) fn write_fields() -> Result<()> {
    fields::write()
}

/// Runs every check and prints what they find.
pub(crate) fn run() -> Result<()> {
    let mut count = 0;
    for (name, check) in CHECKS {
        for finding in check()? {
            println!("{name}: {}: {}", finding.place, finding.problem);
            count += 1;
        }
    }
    if count == 0 { Ok(()) } else { Err(format!("{count} findings").into()) }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    fn none(findings: Vec<Finding>) {
        let lines: Vec<String> =
            findings.into_iter().map(|f| format!("{}: {}", f.place, f.problem)).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn arrows_point_down() {
        none(super::layers::check().unwrap());
    }

    #[test]
    fn limits_hold() {
        none(super::limits::check().unwrap());
    }

    #[test]
    fn names_are_telling() {
        none(super::names::check().unwrap());
    }

    #[test]
    fn documents_follow_the_tree() {
        none(super::documents::check().unwrap());
    }

    #[test]
    fn fields_of_the_specification_have_tests() {
        none(super::fields::check().unwrap());
    }

    #[test]
    fn skips_and_refusals_are_listed() {
        none(super::lists::check().unwrap());
    }
}
