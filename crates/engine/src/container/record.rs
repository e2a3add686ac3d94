//! What is remembered of a container: durably, and for as long as it lives.

use jiff::Timestamp;
use network::EndpointRecord;
use serde::{Deserialize, Serialize};

use super::options::{ContainerSpec, MountKind};
use super::view::MountPoint;

/// A container as it is remembered. Durable, except that of a container which is removed when it
/// ends: that one lives in the run directory only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Its name without slash.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Its place in the order in which they were made: clocks jump.
    #[serde(default)]
    pub(crate) number: u64,
    /// The digest of its image's configuration.
    pub(crate) image_id: oci::Digest,
    /// The options, merged with the image's configuration.
    pub(crate) spec: ContainerSpec,
    /// Its mounts, parents before children.
    pub(crate) mounts: Vec<PlannedMount>,
    /// Whether it was last told to run: it is alive, or was when the record was written.
    pub(crate) running: bool,
    /// Whether it was ever started.
    pub(crate) was_started: bool,
    /// Whether its last end was asked for.
    pub(crate) ended_by_hand: bool,
    /// How its last run went.
    pub(crate) last: LastRun,
    /// How often in a row the restart policy has started it.
    pub(crate) restarts: u32,
}

impl Record {
    /// Whether it has the volume of this name.
    pub(crate) fn has_volume(&self, name: &str) -> bool {
        self.mounts.iter().any(|mount| mount.point.name == name)
    }
}

/// How a container's last run went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastRun {
    /// When it was started.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended; absent while it runs.
    pub(crate) finished_at: Option<Timestamp>,
    /// Its exit status.
    pub(crate) exit_code: i32,
    /// Whether the kernel killed it for want of memory.
    pub(crate) oom_killed: bool,
    /// Why it could not be started.
    pub(crate) error: String,
}

/// A mount decided on when the container was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedMount {
    /// What is shown of it.
    pub(crate) point: MountPoint,
    /// Whether mounts below the source are left out.
    #[serde(default)]
    pub(crate) non_recursive: bool,
    /// The volume's directory, when the source is below it: others can write there, and no link of
    /// theirs may lead out.
    #[serde(default)]
    pub(crate) beneath: Option<String>,
    /// Whether a missing source directory is made at each start.
    #[serde(default)]
    pub(crate) create_source: bool,
    /// Whether the volume was made for this container and goes with it.
    #[serde(default)]
    pub(crate) anonymous: bool,
    /// tmpfs options.
    #[serde(default)]
    pub(crate) options: Vec<String>,
}

impl PlannedMount {
    /// Whether it is a directory of the host.
    pub(crate) fn is_bind(&self) -> bool {
        matches!(self.point.kind, MountKind::Bind | MountKind::Volume)
    }
}

/// What is kept in the run directory: gone after a reboot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunTime {
    /// The whole record of a container that is removed when it ends.
    pub(crate) record: Option<Record>,
    /// Written before the monitor is launched, so that whatever it makes is found again.
    pub(crate) live: Option<LiveRecord>,
}

/// A container that lives, as far as another daemon must know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LiveRecord {
    /// Its attachment to a network.
    pub(crate) endpoint: Option<EndpointRecord>,
    /// Whether its end was asked for.
    pub(crate) ending_by_hand: bool,
    /// Whether its processes were frozen.
    pub(crate) paused: bool,
}
