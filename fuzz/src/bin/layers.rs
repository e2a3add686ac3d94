//! Archives of layers, plain or compressed: unpacked or refused, and nothing is written outside.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use oci::Digest;
use storage::{Layout, Store};

struct World {
    directory: PathBuf,
    store: Store,
}

/// The store lies deep enough that `..` from a layer's files still ends inside the directory.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let directory = fuzz::directory();
    std::fs::write(directory.join("victim"), "untouched").expect("a file");
    let data = directory.join("data");
    let run = directory.join("run");
    let store = Store::open(Layout { data, run }).expect("a store");
    World { directory, store }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let world = &*WORLD;
    let before = outside(world);
    let diff_id = Digest::of(bytes);
    let unpacked = world.store.layers().unpack(&mut &*bytes, &diff_id);
    assert_eq!(outside(world), before, "written outside of the layer");
    if let Ok(layer) = unpacked {
        assert_eq!(layer.diff_id, diff_id);
        let files = world.store.layout().data.join("layers/pending").join(diff_id.hex());
        world.store.discard(&files).expect("the layer is thrown away");
    }
    world.store.empty_trash().expect("all of a layer can be removed");
});

/// Everything that a layer must not change: names, contents by their sizes and times.
fn outside(world: &World) -> Vec<(PathBuf, u64, Option<SystemTime>)> {
    let mut found = Vec::new();
    list(Path::new("/"), &mut found);
    list(&world.directory, &mut found);
    list(&world.store.layout().data, &mut found);
    list(&world.store.layout().data.join("layers"), &mut found);
    found.retain(|(path, ..)| {
        // What the store itself writes in.
        !["pending", "partial", "trash", "proc", "dev", "run", "tmp", "sys"]
            .iter()
            .any(|name| path.ends_with(name))
    });
    found.sort();
    found
}

fn list(directory: &Path, found: &mut Vec<(PathBuf, u64, Option<SystemTime>)>) {
    for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
        let metadata = entry.metadata().ok();
        let size = metadata.as_ref().map_or(0, std::fs::Metadata::len);
        let changed = metadata.and_then(|metadata| metadata.modified().ok());
        found.push((entry.path(), size, changed));
    }
}
