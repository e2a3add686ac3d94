//! `/images`.

use std::collections::BTreeMap;

use crate::container::HealthConfig;
use crate::lenient::{is_zero, null_if_empty, wire};
use crate::{Empty, StringOrList, Time};

wire! {
    /// One row of `GET /images/json`.
    pub struct Summary {
        /// Containers that use it, -1 when not computed.
        pub containers: i64,
        /// Seconds since the epoch.
        pub created: i64,
        /// `sha256:…`.
        pub id: String,
        /// Labels of its configuration.
        #[serde(serialize_with = "null_if_empty")]
        pub labels: BTreeMap<String, String>,
        /// Id of the image it was built on, when known.
        pub parent_id: String,
        /// What the manifest is, once pulled or pushed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
        /// `name@sha256:…`.
        pub repo_digests: Vec<String>,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// Bytes shared with other images, -1 when not computed.
        pub shared_size: i64,
        /// Bytes of its layers.
        pub size: i64,
        /// Same as `size`; dropped by API 1.44.
        #[serde(skip_serializing_if = "is_zero")]
        pub virtual_size: i64,
    }

    /// What a blob is.
    pub struct Descriptor {
        /// Media type.
        #[serde(rename = "mediaType")]
        pub media_type: String,
        /// `sha256:…`.
        #[serde(rename = "digest")]
        pub digest: String,
        /// Bytes.
        #[serde(rename = "size")]
        pub size: i64,
    }

    /// `GET /images/{name}/json`.
    pub struct Inspect {
        /// `sha256:…`.
        pub id: String,
        /// `name:tag`.
        pub repo_tags: Vec<String>,
        /// `name@sha256:…`.
        pub repo_digests: Vec<String>,
        /// Id of the image it was built on, when known.
        pub parent: String,
        /// Comment of its last step.
        pub comment: String,
        /// When it was built, RFC 3339; absent when unknown.
        #[serde(skip_serializing_if = "is_zero")]
        pub created: Option<Time>,
        /// Version of Docker that built it.
        pub docker_version: String,
        /// Who made it.
        pub author: String,
        /// How it is run.
        pub config: Option<ImageConfig>,
        /// `amd64`, `arm64`, …
        pub architecture: String,
        /// `v7`, …
        #[serde(skip_serializing_if = "is_zero")]
        pub variant: String,
        /// `linux`.
        pub os: String,
        /// For Windows.
        #[serde(skip_serializing_if = "is_zero")]
        pub os_version: String,
        /// Bytes of its layers.
        pub size: i64,
        /// Same as `size`; dropped by API 1.44.
        #[serde(skip_serializing_if = "is_zero")]
        pub virtual_size: i64,
        /// Where its layers are.
        pub graph_driver: GraphDriver,
        /// Its layers.
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        /// What is known only here.
        pub metadata: Metadata,
        /// What the manifest is, once pulled or pushed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
    }

    /// How an image is run: the configuration of containers without what images lack.
    pub struct ImageConfig {
        /// User, `name|uid[:group|gid]`.
        pub user: String,
        /// `80/tcp` → `{}`.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub exposed_ports: BTreeMap<String, Empty>,
        /// Variables, `NAME=value`.
        #[serde(serialize_with = "null_if_empty")]
        pub env: Vec<String>,
        /// Default arguments.
        pub cmd: Option<StringOrList>,
        /// How to find out whether it works.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        /// For Windows.
        #[serde(skip_serializing_if = "is_zero")]
        pub args_escaped: bool,
        /// Directories that become volumes.
        #[serde(serialize_with = "null_if_empty")]
        pub volumes: BTreeMap<String, Empty>,
        /// Directory to start in.
        pub working_dir: String,
        /// Program and first arguments.
        pub entrypoint: Option<StringOrList>,
        /// Triggers for builds on top.
        #[serde(serialize_with = "null_if_empty")]
        pub on_build: Vec<String>,
        /// Labels.
        #[serde(serialize_with = "null_if_empty")]
        pub labels: BTreeMap<String, String>,
        /// Signal that asks it to stop.
        #[serde(skip_serializing_if = "is_zero")]
        pub stop_signal: String,
        /// Shell of the shell form.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<StringOrList>,
    }

    /// Where layers are.
    pub struct GraphDriver {
        /// Directories, by role.
        #[serde(serialize_with = "null_if_empty")]
        pub data: BTreeMap<String, String>,
        /// `overlay2`, as tools expect it.
        pub name: String,
    }

    /// Layers of an image.
    pub struct RootFs {
        /// `layers`.
        #[serde(rename = "Type")]
        pub kind: String,
        /// Digests of the uncompressed layers, lowest first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub layers: Vec<String>,
    }

    /// What is known only here.
    pub struct Metadata {
        /// When a name was last given to it.
        pub last_tag_time: Time,
    }

    /// One row of `GET /images/{name}/history`, newest first.
    pub struct HistoryItem {
        /// Comment.
        pub comment: String,
        /// Seconds since the epoch.
        pub created: i64,
        /// The step.
        pub created_by: String,
        /// Id of the image after the step, or `<missing>`.
        pub id: String,
        /// Bytes of its layer.
        pub size: i64,
        /// Names, for the newest row.
        #[serde(serialize_with = "null_if_empty")]
        pub tags: Vec<String>,
    }

    /// One row of `DELETE /images/{name}`.
    pub struct DeleteItem {
        /// Id of what was deleted.
        #[serde(skip_serializing_if = "is_zero")]
        pub deleted: String,
        /// Name that was taken away.
        #[serde(skip_serializing_if = "is_zero")]
        pub untagged: String,
    }

    /// `POST /images/prune`.
    pub struct PruneResponse {
        /// What was removed.
        #[serde(serialize_with = "null_if_empty")]
        pub images_deleted: Vec<DeleteItem>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }

    /// `POST /build/prune`.
    #[derive(Eq)]
    pub struct BuildPruneResponse {
        /// Ids of what was removed.
        #[serde(serialize_with = "null_if_empty")]
        pub caches_deleted: Vec<String>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }

    /// One line of the progress of pull, push, load and build.
    pub struct Progress {
        /// Output of a build.
        #[serde(rename = "stream", skip_serializing_if = "is_zero")]
        pub stream: String,
        /// `Downloading`, `Pull complete`, …
        #[serde(rename = "status", skip_serializing_if = "is_zero")]
        pub status: String,
        /// How far; absent in lines about no object, `{}` in those that have no numbers.
        #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
        pub progress_detail: Option<ProgressDetail>,
        /// The bar drawn by the daemon, for old clients.
        #[serde(rename = "progress", skip_serializing_if = "is_zero")]
        pub progress: String,
        /// Short id of the layer, or the tag.
        #[serde(rename = "id", skip_serializing_if = "is_zero")]
        pub id: String,
        /// The failure that ends the stream.
        #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
        pub error_detail: Option<ErrorDetail>,
        /// Its text again.
        #[serde(rename = "error", skip_serializing_if = "is_zero")]
        pub error: String,
        /// A result, such as `{"ID":"sha256:…"}`.
        #[serde(rename = "aux", skip_serializing_if = "Option::is_none")]
        pub aux: Option<serde_json::Value>,
    }

    /// How far a transfer is.
    pub struct ProgressDetail {
        /// Bytes done.
        #[serde(rename = "current", skip_serializing_if = "is_zero")]
        pub current: i64,
        /// Bytes in all, 0 when unknown.
        #[serde(rename = "total", skip_serializing_if = "is_zero")]
        pub total: i64,
        /// Seconds since the epoch when it began.
        #[serde(rename = "start", skip_serializing_if = "is_zero")]
        pub start: i64,
        /// The numbers are no bytes.
        #[serde(rename = "units", skip_serializing_if = "is_zero")]
        pub units: String,
        /// No bar is wanted.
        #[serde(rename = "hidecounts", skip_serializing_if = "is_zero")]
        pub hide_counts: bool,
    }

    /// A failure inside a stream.
    pub struct ErrorDetail {
        /// A code, for builds the exit status.
        #[serde(rename = "code", skip_serializing_if = "is_zero")]
        pub code: i64,
        /// What went wrong.
        #[serde(rename = "message")]
        pub message: String,
    }
}
