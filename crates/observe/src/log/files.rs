//! The names of a log's files.

use std::path::{Path, PathBuf};

/// `path` with something appended to its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A full file, uncompressed: `<path>.<number>`.
pub(super) fn rotated(path: &Path, number: usize) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

/// A full file, compressed: `<path>.<number>.gz`.
pub(super) fn compressed(path: &Path, number: usize) -> PathBuf {
    with_suffix(path, &format!(".{number}.gz"))
}

/// The index of a file: `<path>.index`, or `<path>.<number>.index` for a full one.
pub(super) fn index(path: &Path, number: usize) -> PathBuf {
    match number {
        0 => with_suffix(path, ".index"),
        number => with_suffix(path, &format!(".{number}.index")),
    }
}

/// What a compression writes until it is done.
pub(super) fn compression(path: &Path, generation: u64) -> PathBuf {
    with_suffix(path, &format!(".{generation}.gz.tmp"))
}

/// The new file of a rotation, before it has its name.
pub(super) fn next(path: &Path) -> PathBuf {
    with_suffix(path, ".next.tmp")
}

/// Where the files are.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
