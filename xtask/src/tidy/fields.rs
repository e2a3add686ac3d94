//! Every field of the OCI runtime specification has a test, or a reason why it is refused.
//!
//! `tests/oci-fields.toml` says which; `docs/oci-fields.md` is the same as a table, one line for each
//! field that `crates/oci/src/runtime` knows, made by `cargo xtask fields`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde::Deserialize;

use super::Finding;
use super::source::{self, Source};
use crate::Result;
use crate::peers::workspace_root;

const LIST: &str = "tests/oci-fields.toml";
const TABLE: &str = "docs/oci-fields.md";
const TYPES: &str = "crates/oci/src/runtime/";

/// What a runtime tells and is not told.
const TOLD: [&str; 2] = ["ContainerProcessState", "State"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    proof: Vec<Proof>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    fields: Vec<String>,
    #[serde(default)]
    tests: Vec<String>,
    #[serde(default)]
    refused: String,
}

pub(super) fn check() -> Result<Vec<Finding>> {
    let list = read_list()?;
    let sources = source::all()?;
    let (fields, tests) = (fields(&sources), tests(&sources));
    let mut findings = Vec::new();
    let mut proved = BTreeSet::new();
    for proof in &list.proof {
        for field in &proof.fields {
            if !fields.contains(field) {
                findings.push(Finding::new(LIST, format!("{field} is no field")));
            }
            if !proved.insert(field.clone()) {
                findings.push(Finding::new(LIST, format!("{field} stands there twice")));
            }
        }
        if proof.tests.is_empty() == proof.refused.is_empty() {
            findings.push(Finding::new(LIST, format!("{:?}: tests, or a reason", proof.fields)));
        }
        for test in proof.tests.iter().filter(|test| !tests.contains(*test)) {
            findings.push(Finding::new(LIST, format!("there is no test {test}")));
        }
    }
    for field in fields.difference(&proved) {
        findings.push(Finding::new(LIST, format!("{field} has no test")));
    }
    if findings.is_empty() && fs::read_to_string(workspace_root().join(TABLE))? != table(&list) {
        findings.push(Finding::new(TABLE, "is not up to date: cargo xtask fields"));
    }
    Ok(findings)
}

/// Writes the table.
pub(super) fn write() -> Result<()> {
    Ok(fs::write(workspace_root().join(TABLE), table(&read_list()?))?)
}

fn read_list() -> Result<List> {
    Ok(toml::from_str(&fs::read_to_string(workspace_root().join(LIST))?)?)
}

fn table(list: &List) -> String {
    let mut rows = BTreeMap::new();
    for proof in &list.proof {
        let tests: Vec<String> = proof.tests.iter().map(|test| format!("`{test}`")).collect();
        let shown = match proof.refused.as_str() {
            "" => tests.join(", "),
            reason => format!("refused: {reason}"),
        };
        rows.extend(proof.fields.iter().map(|field| (field, shown.clone())));
    }
    let mut text =
        "# Fields of the OCI runtime specification, and the tests that show them at work\n\n\
                    Made by `cargo xtask fields` from `tests/oci-fields.toml`.\n\n\
                    | Field | Test |\n|---|---|\n"
            .to_owned();
    for (field, shown) in rows {
        _ = writeln!(text, "| `{field}` | {shown} |");
    }
    text
}

/// `Struct.member`, as the specification spells the member.
fn fields(sources: &[Source]) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with(TYPES)) {
        for item in &source.syntax.items {
            let syn::Item::Struct(item) = item else { continue };
            let name = item.ident.to_string();
            if TOLD.contains(&name.as_str()) {
                continue;
            }
            let members = item.fields.iter().filter_map(member);
            fields.extend(members.map(|member| format!("{name}.{member}")));
        }
    }
    fields
}

fn member(field: &syn::Field) -> Option<String> {
    let mut renamed = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        // What is not `name = "value"` is of no interest.
        let _parsed = attribute.parse_nested_meta(|meta| {
            let value: Option<syn::LitStr> =
                meta.value().and_then(syn::parse::ParseBuffer::parse).ok();
            if meta.path.is_ident("rename") {
                renamed = value.map(|value| value.value());
            }
            Ok(())
        });
    }
    renamed.or_else(|| Some(camel(&field.ident.as_ref()?.to_string())))
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(1.min(word.len()));
        name + &head.to_uppercase() + tail
    })
}

/// `module::name` of every integration test: those of the usual harness, and those that are forked
/// and have their name written down.
fn tests(sources: &[Source]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.contains("/tests/it/")) {
        let module = source.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs"));
        let Some(module) = module else { continue };
        for item in &source.syntax.items {
            if let syn::Item::Fn(function) = item
                && function.attrs.iter().any(|attribute| attribute.path().is_ident("test"))
            {
                tests.insert(format!("{module}::{}", function.sig.ident));
            }
        }
        let marker = format!("(\"{module}::");
        let names = source.text.split(&marker).skip(1).filter_map(|rest| rest.split('"').next());
        tests.extend(names.map(|name| format!("{module}::{name}")));
    }
    tests
}

#[cfg(test)]
mod tests {
    #[test]
    fn members_are_spelled_as_in_json() {
        assert_eq!(super::camel("no_new_privileges"), "noNewPrivileges");
        assert_eq!(super::camel("path"), "path");
    }
}
