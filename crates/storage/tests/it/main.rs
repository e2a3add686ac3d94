//! The store on a real file system, as root: what it writes, what it refuses, what survives.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests fail by panicking, and measurements print"
)]

mod archive;
mod bench;
mod content;
mod crash;
mod garbage;
mod hostile;
mod images;
mod peers;
mod snapshots;
mod store;
mod unpack;
mod volumes;

use std::path::{Path, PathBuf};

use oci::Digest;
use storage::{Layout, Lower, Result, Store, UnpackedLayer};

/// A store in a directory of its own.
struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Layout::at_root(directory.path())).unwrap();
        Self { directory, store }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn unpack(&self, archive: &[u8]) -> Result<UnpackedLayer> {
        self.store.layers().unpack(&mut &archive[..], &Digest::of(archive))
    }

    /// Unpacks and gives the layer's directory.
    fn layer(&self, archive: &[u8]) -> PathBuf {
        let layer = self.unpack(archive).unwrap();
        let Ok(Lower::Directory(directory)) = self.store.layers().lower(&layer.diff_id) else {
            panic!("no directory")
        };
        directory
    }

    /// Every path below the root but the store's own files.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(self.path(), &mut files);
        files.retain(|path| {
            !["lock", "instance", "boot", "records.redb"].iter().any(|name| path.ends_with(name))
        });
        files
    }
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        files.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), files);
        }
    }
}
