//! What the host looks like, to prove that a test left it as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Everything a container engine could leave behind, as sorted lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    lines: BTreeSet<String>,
}

impl Host {
    /// Looks at mounts, links, named network namespaces, cgroup directories of every hierarchy,
    /// nftables tables with their elements, loop devices and processes called brig.
    #[must_use]
    pub fn look() -> Self {
        let mut lines = BTreeSet::new();
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
            let mount: Vec<&str> = line.split(' ').skip(3).take(2).collect();
            lines.insert(format!("mount {}", mount.join(" ")));
        }
        names(&mut lines, "link", Path::new("/sys/class/net"));
        names(&mut lines, "netns", Path::new("/run/netns"));
        lines.extend(loop_devices());
        groups(&mut lines, Path::new("/sys/fs/cgroup"));
        let rules = stdx::process::output(stdx::process::command("nft").args(["list", "ruleset"]));
        let rules = String::from_utf8(rules.unwrap().stdout).unwrap();
        lines.extend(rules.lines().map(|line| format!("nft {}", line.trim())));
        lines.extend(processes());
        Self { lines }
    }

    /// What is here now that was not there `before`, without what `ignored` matches.
    #[must_use]
    pub fn added_since(&self, before: &Self, ignored: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines.difference(&before.lines).filter(|line| !ignored(line)).cloned().collect()
    }
}

fn names(lines: &mut BTreeSet<String>, kind: &str, directory: &Path) {
    if let Ok(entries) = fs::read_dir(directory) {
        lines.extend(
            entries
                .flatten()
                .map(|entry| format!("{kind} {}", entry.file_name().to_string_lossy())),
        );
    }
}

fn loop_devices() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.path().join("loop/backing_file").exists())
        .map(|entry| format!("loop {}", entry.file_name().to_string_lossy()))
        .collect()
}

fn groups(lines: &mut BTreeSet<String>, directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            lines.insert(format!("cgroup {}", entry.path().display()));
            groups(lines, &entry.path());
        }
    }
}

fn processes() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let id = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("brig").then(|| format!("process {id} {}", name.trim()))
        })
        .collect()
}
