//! The Rust files of the tree, parsed once per check.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::peers::workspace_root;

/// One source file: its path from the root, its text and its syntax tree.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) room: String,
    pub(super) text: String,
    pub(super) syntax: syn::File,
}

/// Every Rust file below `crates/*/src` and `xtask/src`, sorted.
pub(super) fn production() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for directory in room_directories()? {
        let room = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in rust_files(&directory.join("src"))? {
            sources.push(read(&path, &room)?);
        }
    }
    Ok(sources)
}

/// Every Rust file of the tree including tests.
pub(super) fn all() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for directory in room_directories()? {
        let room = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in rust_files(&directory)? {
            sources.push(read(&path, &room)?);
        }
    }
    Ok(sources)
}

fn read(path: &Path, room: &str) -> Result<Source> {
    let text = fs::read_to_string(path)?;
    let syntax = syn::parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Source { path: relative(path), room: room.to_owned(), text, syntax })
}

fn room_directories() -> Result<Vec<PathBuf>> {
    let root = workspace_root();
    let mut directories = vec![root.join("xtask")];
    for entry in fs::read_dir(root.join("crates"))? {
        directories.push(entry?.path());
    }
    directories.sort();
    Ok(directories)
}

fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The path as seen from the repository's root.
pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(workspace_root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// Whether an item is compiled for tests only.
pub(super) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}
