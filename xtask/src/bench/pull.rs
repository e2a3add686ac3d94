//! Pull and unpack from a registry on loopback.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use testkit::image::{Layout, Settings};

use super::measure::{Subject, median, time};
use super::table::{Bound, Row, Table};
use super::world::World;
use crate::Result;

/// Bytes of the image's files; half of them compress, as in a real image.
const SIZE: usize = 450_000_000;

pub(super) fn rows(world: &World, table: &mut Table) -> Result<()> {
    let name = "pull and unpack of 450 MB from a loopback registry";
    if !table.wants(name) {
        return Ok(());
    }
    let root = world.directory.path().join("large");
    fill(&root)?;
    let layout =
        Layout::write(&world.directory.path().join("large-layout"), &[&root], &Settings::default());
    world.registry.push(&layout, "library/large:latest");
    fs::remove_dir_all(&root)?;
    let image = format!("{}/library/large:latest", world.registry.address());
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        let subjects = [
            Subject::new("brig", |_| world.brig.command(&["pull", "-q", "large"])),
            Subject::new("docker", |_| world.docker(&["pull", "-q", &image])),
        ];
        for (subject, list) in subjects.iter().zip(&mut seconds) {
            let elapsed = time(&mut (subject.command)(0))?;
            list.push(elapsed.ok_or_else(|| format!("{} pull failed", subject.name))?);
        }
        drop(world.brig.ok(&["rmi", "large"]));
        stdx::process::output(&mut world.docker(&["rmi", &image]))?;
    }
    let [ours, docker] = seconds.map(|mut list| median(&mut list) / 1000.0);
    table.add(&Row {
        name,
        unit: "s",
        ours,
        peers: vec![("docker", Some(docker))],
        bounds: vec![Bound::Ratio("docker", 0.5)],
        aim: None,
    });
    Ok(())
}

/// Twelve thousand files, small and large, with contents that compress to about a half.
fn fill(root: &Path) -> Result<()> {
    const FILES: usize = 12_000;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..FILES {
        let directory = root.join(format!("usr/lib/{}", number % 300));
        fs::create_dir_all(&directory)?;
        let mut file = File::create(directory.join(format!("file-{number}")))?;
        let mut contents = Vec::with_capacity(SIZE / FILES);
        while contents.len() < SIZE / FILES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            contents.extend_from_slice(&state.to_le_bytes());
            contents.extend_from_slice(b"the same");
        }
        file.write_all(&contents)?;
    }
    Ok(())
}
