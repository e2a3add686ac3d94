//! `GET /events`: one JSON document a line.

use std::collections::BTreeMap;

use crate::lenient::{is_zero, wire};

wire! {
    /// Something happened. The first three fields are the older form, dropped by API 1.52.
    pub struct Message {
        /// The action, for containers and images only.
        #[serde(rename = "status", skip_serializing_if = "is_zero")]
        pub status: String,
        /// The actor's id, for containers and images only.
        #[serde(rename = "id", skip_serializing_if = "is_zero")]
        pub id: String,
        /// The container's image.
        #[serde(rename = "from", skip_serializing_if = "is_zero")]
        pub from: String,
        /// `container`, `image`, `volume`, `network`, `daemon`, …
        #[serde(rename = "Type")]
        pub kind: String,
        /// `create`, `start`, `die`, `exec_create: sh`, …
        pub action: String,
        /// What it happened to.
        pub actor: Actor,
        /// `local`.
        #[serde(rename = "scope", skip_serializing_if = "is_zero")]
        pub scope: String,
        /// Seconds since the epoch.
        #[serde(rename = "time", skip_serializing_if = "is_zero")]
        pub time: i64,
        /// Nanoseconds since the epoch.
        #[serde(rename = "timeNano", skip_serializing_if = "is_zero")]
        pub time_nano: i64,
    }

    /// What an event happened to.
    pub struct Actor {
        /// Id of the object (for an image, its reference).
        #[serde(rename = "ID")]
        pub id: String,
        /// Name, image, labels, exit code…
        pub attributes: BTreeMap<String, String>,
    }
}
