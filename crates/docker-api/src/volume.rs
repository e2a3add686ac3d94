//! `/volumes`.

use std::collections::BTreeMap;

use crate::lenient::{null_if_empty, wire};

wire! {
    /// A volume.
    pub struct Volume {
        /// When it was made, RFC 3339.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub created_at: String,
        /// `local`.
        pub driver: String,
        /// Labels given at creation.
        #[serde(serialize_with = "null_if_empty")]
        pub labels: BTreeMap<String, String>,
        /// Directory on the host.
        pub mountpoint: String,
        /// The volume's name.
        pub name: String,
        /// Options of the driver given at creation.
        #[serde(serialize_with = "null_if_empty")]
        pub options: BTreeMap<String, String>,
        /// `local`.
        pub scope: String,
        /// Details by the driver.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub status: BTreeMap<String, serde_json::Value>,
        /// In `system/df` only.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<Usage>,
    }

    /// Size and use of a volume.
    pub struct Usage {
        /// Containers that use it, -1 when not computed.
        pub ref_count: i64,
        /// Bytes, -1 when not computed.
        pub size: i64,
    }

    /// `POST /volumes/create`.
    pub struct CreateRequest {
        /// Name, made up when empty.
        pub name: String,
        /// Driver, `local` when empty.
        pub driver: String,
        /// Options of the driver.
        pub driver_opts: BTreeMap<String, String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
    }

    /// `GET /volumes`.
    pub struct ListResponse {
        /// The volumes.
        pub volumes: Vec<Volume>,
        /// Warnings of drivers.
        #[serde(serialize_with = "null_if_empty")]
        pub warnings: Vec<String>,
    }

    /// `POST /volumes/prune`.
    pub struct PruneResponse {
        /// Names of what was removed.
        #[serde(serialize_with = "null_if_empty")]
        pub volumes_deleted: Vec<String>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }
}
