//! What is skipped or refused stands on a committed list with its reason.
//!
//! `tests/skips.toml` lists tests that cannot run on some machine; a test skips by
//! `testkit::skip`. `docs/refused.toml` lists options that brig knows and refuses.

use std::fs;

use serde::Deserialize;

use super::{Finding, source};
use crate::Result;
use crate::peers::workspace_root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skips {
    #[serde(default)]
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Skip {
    test: String,
    reason: String,
    machine: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusals {
    #[serde(default)]
    refused: Vec<Refusal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    option: String,
    reason: String,
}

pub(super) fn check() -> Result<Vec<Finding>> {
    let root = workspace_root();
    let mut findings = Vec::new();
    let skips: Skips = toml::from_str(&fs::read_to_string(root.join("tests/skips.toml"))?)?;
    for skip in &skips.skip {
        if skip.reason.is_empty() || skip.machine.is_empty() {
            findings.push(Finding::new("tests/skips.toml", format!("{}: why, where?", skip.test)));
        }
    }
    for source in source::all()? {
        for name in quoted_after(&source.text, concat!("testkit::", "skip(\"")) {
            if !skips.skip.iter().any(|skip| skip.test == name) {
                let problem = format!("skips `{name}`, which is not on tests/skips.toml");
                findings.push(Finding::new(&source.path, problem));
            }
        }
        // A measurement prints times and cannot fail; a child is run by the test that kills it.
        let ignored = source.text.matches(concat!("#[", "ignore")).count();
        let excused: usize = [
            concat!("#[", "ignore = \"a measurement\"]"),
            concat!("#[", "ignore = \"a child of another test\"]"),
        ]
        .iter()
        .map(|excuse| source.text.matches(excuse).count())
        .sum();
        if ignored > excused {
            findings.push(Finding::new(&source.path, "ignores a test; list a skip instead"));
        }
    }
    let refusals: Refusals = toml::from_str(&fs::read_to_string(root.join("docs/refused.toml"))?)?;
    for refusal in refusals.refused {
        if refusal.reason.is_empty() {
            findings.push(Finding::new("docs/refused.toml", format!("{}: why?", refusal.option)));
        }
    }
    Ok(findings)
}

/// The string literals that directly follow `marker` in `text`.
fn quoted_after<'a>(text: &'a str, marker: &str) -> Vec<&'a str> {
    text.split(marker).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn literals_are_found() {
        assert_eq!(super::quoted_after(r#"x("a") + x("b")"#, "x(\""), ["a", "b"]);
    }
}
