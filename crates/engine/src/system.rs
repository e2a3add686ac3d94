//! The host, and the sums over everything on it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use linux::cgroup::{Layout, Mode};

use crate::containers::Containers;
use crate::error::Result;
use crate::images::ImageFilter;
use crate::rooms::{self, Rooms};

/// How many containers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerCounts {
    /// All.
    pub all: usize,
    /// Running.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// Everything else.
    pub stopped: usize,
}

/// What the host is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The instance's random id.
    pub instance: String,
    /// Host name.
    pub name: String,
    /// `uname -r`.
    pub kernel: String,
    /// The distribution's name (`PRETTY_NAME`).
    pub operating_system: String,
    /// Its version (`VERSION_ID`).
    pub operating_system_version: String,
    /// `x86_64`, `aarch64`, … as `uname -m`.
    pub architecture: String,
    /// Processors online.
    pub processors: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// Whether a memory limit, a swap limit, a processor quota and a pids limit can be set.
    pub memory_limit: bool,
    /// Whether swap is counted.
    pub swap_limit: bool,
    /// Whether processor quotas can be set.
    pub cpu_quota: bool,
    /// Whether process counts can be limited.
    pub pids_limit: bool,
    /// Whether `net.ipv4.ip_forward` is on.
    pub ip_forward: bool,
    /// `name=seccomp,profile=builtin`, `name=apparmor`, `name=cgroupns`.
    pub security_options: Vec<String>,
    /// The data directory.
    pub root: String,
    /// The snapshotter's name.
    pub storage_driver: String,
    /// What limits containers on this host, a sentence each.
    pub warnings: Vec<String>,
    /// Containers by state.
    pub containers: ContainerCounts,
    /// Number of images.
    pub images: usize,
}

/// Bytes on disk by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// All layers, each counted once.
    pub layers: u64,
    /// Written by containers.
    pub containers: u64,
    /// In volumes.
    pub volumes: u64,
}

/// The host and the sums over everything.
#[derive(Debug)]
pub struct System {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) containers: Containers,
}

impl System {
    /// What the host is.
    ///
    /// # Errors
    /// When the images cannot be counted.
    pub async fn facts(&self) -> Result<HostFacts> {
        let images = self.rooms.images.list(&ImageFilter::default()).await?.len();
        let containers = self.containers.counts();
        self.rooms
            .blocking("look at the host", move |rooms| {
                Ok(HostFacts { images, containers, ..host(rooms) })
            })
            .await
    }

    /// Bytes on disk.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        self.rooms
            .blocking("measure the root", |rooms| {
                let failed = |error| rooms::storage("measure", "the root", error);
                let store = &rooms.store;
                let mut usage = DiskUsage::default();
                let mut seen = HashSet::new();
                for image in store.images().list().map_err(failed)? {
                    // Layers that images share are counted with the first of them.
                    let new = image.layers.iter().any(|layer| seen.insert(layer.diff_id.clone()));
                    usage.layers += if new { image.size } else { 0 };
                }
                for id in store.snapshots().list().map_err(failed)? {
                    usage.containers += store.snapshots().usage(&id).map_or(0, |usage| usage.size);
                }
                for volume in store.volumes().list().map_err(failed)? {
                    usage.volumes +=
                        store.volumes().usage(&volume.name).map_or(0, |usage| usage.size);
                }
                Ok(usage)
            })
            .await
    }
}

fn host(rooms: &Rooms) -> HostFacts {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = fs::read_to_string("/etc/os-release")
        .or_else(|_missing| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let layout = Layout::detect().ok();
    let has = |controller: &str| {
        layout.is_some_and(|layout| layout.hierarchies().iter().any(|h| h.has(controller)))
    };
    let unified = layout.is_some_and(|layout| layout.mode() == Mode::Unified);
    let mut security_options = vec!["name=seccomp,profile=builtin".to_owned()];
    security_options.extend(rooms.machine.apparmor.then(|| "name=apparmor".to_owned()));
    security_options.push("name=cgroupns".to_owned());
    let warnings = rooms.networks.conflicts().unwrap_or_default();
    HostFacts {
        instance: rooms.store.instance().to_string(),
        name: read("/proc/sys/kernel/hostname"),
        kernel: read("/proc/sys/kernel/osrelease"),
        operating_system: release_field(&release, "PRETTY_NAME=").unwrap_or_else(|| "Linux".into()),
        operating_system_version: release_field(&release, "VERSION_ID=").unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        processors: u32::try_from(rooms.machine.processors).unwrap_or(u32::MAX),
        memory: memory(),
        cgroup_version: if unified { 2 } else { 1 },
        memory_limit: has("memory"),
        swap_limit: unified
            || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
        cpu_quota: has("cpu"),
        pids_limit: has("pids"),
        ip_forward: read("/proc/sys/net/ipv4/ip_forward") == "1",
        security_options,
        root: rooms.store.layout().data.display().to_string(),
        storage_driver: "overlay2".to_owned(),
        warnings,
        containers: ContainerCounts::default(),
        images: 0,
    }
}

fn release_field(release: &str, key: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// Bytes of memory of the machine.
pub(crate) fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::{memory, release_field};

    #[test]
    fn the_host_has_memory_and_a_name() {
        assert!(memory() > 1 << 20);
        let release = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(release_field(release, "PRETTY_NAME=").unwrap(), "Debian GNU/Linux 12");
    }
}
