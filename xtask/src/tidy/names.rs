//! Names explain: some words say nothing and are therefore not used for files and types.

use syn::visit::{self, Visit};

use super::Finding;
use super::source::{self, Source};
use crate::Result;

const SAYS_NOTHING: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "data", "info",
    "base",
];

/// Names that a specification prescribes; `docker-api` spells the Docker Engine API's definitions.
const PRESCRIBED_ROOMS: &[&str] = &["docker-api"];

/// Words of the field that a specification or a manual page uses for exactly this thing.
const TERMS: &[&str] = &[
    "BaseChain", // nftables(8): a chain with a hook
    "DataType",  // nftables(8): the type of a set's elements
];

pub(super) fn check() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in source::all()? {
        for word in source.path.split(['/', '_', '-', '.']) {
            if SAYS_NOTHING.contains(&word) {
                findings.push(Finding::new(&source.path, format!("`{word}` says nothing")));
            }
        }
        if source.path.ends_with(".rs") && self_named(&source) {
            findings.push(Finding::new(&source.path, "use `mod.rs`, not a file beside its folder"));
        }
        if !PRESCRIBED_ROOMS.contains(&source.room.as_str()) {
            Types { source: &source, findings: &mut findings }.visit_file(&source.syntax);
        }
    }
    Ok(findings)
}

fn self_named(source: &Source) -> bool {
    let folder = source.path.trim_end_matches(".rs");
    crate::peers::workspace_root().join(folder).is_dir()
}

struct Types<'a> {
    source: &'a Source,
    findings: &'a mut Vec<Finding>,
}

impl Types<'_> {
    fn judge(&mut self, identifier: &syn::Ident) {
        let name = identifier.to_string();
        if TERMS.contains(&name.as_str()) {
            return;
        }
        for word in camel_words(&name) {
            if SAYS_NOTHING.contains(&word.as_str()) {
                let place = format!("{}: {name}", self.source.path);
                self.findings.push(Finding::new(place, format!("`{word}` says nothing")));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Types<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.judge(&item.ident);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.judge(&item.ident);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.judge(&item.ident);
        visit::visit_item_trait(self, item);
    }
}

fn camel_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in name.chars() {
        match words.last_mut() {
            Some(word) if !character.is_uppercase() => word.push(character),
            _ => words.push(character.to_lowercase().to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::camel_words;

    #[test]
    fn words_are_split_at_capitals() {
        assert_eq!(camel_words("RootMount"), ["root", "mount"]);
        assert_eq!(camel_words("Error"), ["error"]);
    }
}
