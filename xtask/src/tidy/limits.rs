//! Files, functions and parameter lists stay small; every module says what it is.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::source::{self, Source};
use crate::Result;

/// Lines of a file without its tests, and with them.
const FILE_LINES: usize = 600;
const FILE_LINES_WITH_TESTS: usize = 900;
/// Lines of a function from its first attribute to its closing brace.
const FUNCTION_LINES: usize = 80;
/// Nine functions of ten in every room are at most this long.
const FUNCTION_LINES_P90: usize = 30;
/// Parameters besides `self`.
const PARAMETERS: usize = 6;

/// Pure tables of data, exempt from the file limit. This list only shrinks or gains tables.
const DATA_TABLES: &[&str] = &[
    "crates/linux/src/seccomp/table_x86_64.rs",
    "crates/linux/src/seccomp/table_i386.rs",
    "crates/linux/src/seccomp/table_aarch64.rs",
    "crates/linux/src/seccomp/table_arm.rs",
];

pub(super) fn check() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut lengths: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for source in source::production()? {
        file(&source, &mut findings);
        let mut functions = Functions { source: &source, findings: &mut findings, lengths: vec![] };
        functions.visit_file(&source.syntax);
        let found = functions.lengths;
        lengths.entry(source.room.clone()).or_default().extend(found);
    }
    for (room, mut lengths) in lengths {
        lengths.sort_unstable();
        let p90 = lengths.get(lengths.len() * 9 / 10).copied().unwrap_or_default();
        if p90 > FUNCTION_LINES_P90 {
            let problem = format!("p90 of function length is {p90}, over {FUNCTION_LINES_P90}");
            findings.push(Finding::new(room, problem));
        }
    }
    Ok(findings)
}

fn file(source: &Source, findings: &mut Vec<Finding>) {
    if !source.text.trim_start().starts_with("//!") {
        findings.push(Finding::new(&source.path, "does not say what it is (`//!`)"));
    }
    if DATA_TABLES.contains(&source.path.as_str()) {
        return;
    }
    let lines = source.text.lines().count();
    let tests: usize = source
        .syntax
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) if source::is_test_only(&module.attrs) => Some(lines_of(module)),
            _ => None,
        })
        .sum();
    if lines - tests > FILE_LINES {
        findings.push(Finding::new(
            &source.path,
            format!("{} lines without tests, over {FILE_LINES}", lines - tests),
        ));
    } else if lines > FILE_LINES_WITH_TESTS {
        findings.push(Finding::new(
            &source.path,
            format!("{lines} lines, over {FILE_LINES_WITH_TESTS}"),
        ));
    }
}

fn lines_of(node: &impl Spanned) -> usize {
    let span = node.span();
    span.end().line + 1 - span.start().line
}

struct Functions<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
    lengths: Vec<usize>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, lines: usize) {
        self.lengths.push(lines);
        let place = format!("{}: {}", self.source.path, signature.ident);
        if lines > FUNCTION_LINES {
            let problem = format!("{lines} lines, over {FUNCTION_LINES}");
            self.findings.push(Finding::new(&place, problem));
        }
        let parameters =
            signature.inputs.iter().filter(|i| matches!(i, syn::FnArg::Typed(_))).count();
        if parameters > PARAMETERS {
            let problem = format!("{parameters} parameters, over {PARAMETERS}");
            self.findings.push(Finding::new(place, problem));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !source::is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !source::is_test_only(&function.attrs) {
            self.measure(&function.sig, lines_of(&function.block));
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, lines_of(&function.block));
        visit::visit_impl_item_fn(self, function);
    }
}
