//! Rows of `GET /containers/json`, and what pruning answers.

use std::collections::BTreeMap;

use crate::lenient::{is_zero, null_if_empty, wire};
use crate::network::EndpointSettings;

wire! {
    /// One row of the list of containers.
    pub struct Summary {
        /// 64 hexadecimal digits.
        pub id: String,
        /// Names, each with a leading slash.
        pub names: Vec<String>,
        /// Image as it was named at creation.
        pub image: String,
        /// `sha256:…`.
        #[serde(rename = "ImageID")]
        pub image_id: String,
        /// Program and arguments as one line.
        pub command: String,
        /// Seconds since the epoch.
        pub created: i64,
        /// Published and exposed ports.
        pub ports: Vec<Port>,
        /// Bytes written; only when sizes are asked for.
        #[serde(skip_serializing_if = "is_zero")]
        pub size_rw: i64,
        /// Bytes in all; only when sizes are asked for.
        #[serde(skip_serializing_if = "is_zero")]
        pub size_root_fs: i64,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        pub state: String,
        /// `Up 3 minutes`, `Exited (0) 2 days ago`, …
        pub status: String,
        /// A little of how it is run.
        pub host_config: SummaryHostConfig,
        /// Attachments to networks.
        pub network_settings: SummaryNetworkSettings,
        /// What is mounted.
        pub mounts: Vec<MountPoint>,
    }

    /// A little of how a container is run.
    pub struct SummaryHostConfig {
        /// As at creation.
        #[serde(skip_serializing_if = "is_zero")]
        pub network_mode: String,
        /// As at creation.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: BTreeMap<String, String>,
    }

    /// Attachments to networks, by the network's name.
    pub struct SummaryNetworkSettings {
        /// The attachments.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// A published or exposed port.
    #[derive(Eq)]
    pub struct Port {
        /// Address on the host.
        #[serde(rename = "IP", skip_serializing_if = "is_zero")]
        pub ip: String,
        /// Port in the container.
        pub private_port: u16,
        /// Port on the host, 0 when only exposed.
        #[serde(skip_serializing_if = "is_zero")]
        pub public_port: u16,
        /// `tcp`, `udp`, `sctp`.
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// Something mounted in a container.
    #[derive(Eq)]
    pub struct MountPoint {
        /// `bind`, `volume`, `tmpfs`.
        #[serde(rename = "Type", skip_serializing_if = "is_zero")]
        pub kind: String,
        /// Name of a volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub name: String,
        /// Path on the host.
        pub source: String,
        /// Path in the container.
        pub destination: String,
        /// Driver of a volume.
        #[serde(skip_serializing_if = "is_zero")]
        pub driver: String,
        /// Options as given (`z`, `ro`, …).
        pub mode: String,
        /// Whether it can be written to.
        #[serde(rename = "RW")]
        pub rw: bool,
        /// `rprivate`, …
        pub propagation: String,
    }

    /// `POST /containers/prune`.
    pub struct PruneResponse {
        /// Ids of what was removed.
        #[serde(serialize_with = "null_if_empty")]
        pub containers_deleted: Vec<String>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }
}
