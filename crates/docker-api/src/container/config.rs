//! What is run: the part of a container's configuration that could move to another host.

use std::collections::BTreeMap;

use super::HostConfig;
use crate::lenient::{is_zero, null_if_empty, wire};
use crate::network::EndpointSettings;
use crate::{Empty, StringOrList};

wire! {
    /// The portable part of a container's configuration.
    pub struct Config {
        /// Name in its own uts namespace; the short id when empty.
        pub hostname: String,
        /// Domain name.
        pub domainname: String,
        /// User, `name|uid[:group|gid]`.
        pub user: String,
        /// The creator attaches standard input.
        pub attach_stdin: bool,
        /// The creator attaches standard output.
        pub attach_stdout: bool,
        /// The creator attaches standard error.
        pub attach_stderr: bool,
        /// `80/tcp` → `{}`.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub exposed_ports: BTreeMap<String, Empty>,
        /// With a terminal.
        pub tty: bool,
        /// Standard input is a pipe and stays open.
        pub open_stdin: bool,
        /// Standard input is closed when its first client leaves.
        pub stdin_once: bool,
        /// Variables, `NAME=value`; a bare `NAME` takes one away.
        #[serde(serialize_with = "null_if_empty")]
        pub env: Vec<String>,
        /// Arguments; the image's when absent.
        pub cmd: Option<StringOrList>,
        /// How to find out whether it works.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        /// For Windows.
        #[serde(skip_serializing_if = "is_zero")]
        pub args_escaped: bool,
        /// Name or id of the image.
        pub image: String,
        /// Directories that become anonymous volumes.
        #[serde(serialize_with = "null_if_empty")]
        pub volumes: BTreeMap<String, Empty>,
        /// Directory to start in.
        pub working_dir: String,
        /// Program and first arguments; the image's when absent, none when `[""]`.
        pub entrypoint: Option<StringOrList>,
        /// No network at all.
        #[serde(skip_serializing_if = "is_zero")]
        pub network_disabled: bool,
        /// Hardware address (legacy; now in the endpoint).
        #[serde(skip_serializing_if = "is_zero")]
        pub mac_address: String,
        /// Triggers for builds on top.
        #[serde(serialize_with = "null_if_empty")]
        pub on_build: Vec<String>,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Signal that asks it to stop.
        #[serde(skip_serializing_if = "is_zero")]
        pub stop_signal: String,
        /// Seconds to wait after that signal; -1 is for ever.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        /// Shell of the shell form.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<StringOrList>,
    }

    /// How to find out whether a container works. Durations in nanoseconds, 0 is the default.
    pub struct HealthConfig {
        /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", …]`; empty takes the image's.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub test: Vec<String>,
        /// Between checks.
        #[serde(skip_serializing_if = "is_zero")]
        pub interval: i64,
        /// For one check.
        #[serde(skip_serializing_if = "is_zero")]
        pub timeout: i64,
        /// Failures do not count so long after the start.
        #[serde(skip_serializing_if = "is_zero")]
        pub start_period: i64,
        /// Between checks during the start period.
        #[serde(skip_serializing_if = "is_zero")]
        pub start_interval: i64,
        /// Failures in a row that make it unhealthy.
        #[serde(skip_serializing_if = "is_zero")]
        pub retries: i64,
    }

    /// `POST /containers/create`.
    pub struct CreateRequest {
        /// The fields of the configuration, on the outermost level.
        #[serde(flatten)]
        pub config: Config,
        /// The part that belongs to this host.
        pub host_config: HostConfig,
        /// Attachments to networks.
        pub networking_config: NetworkingConfig,
    }

    /// Attachments to networks, by the network's name or id.
    pub struct NetworkingConfig {
        /// The attachments; `null` is one with nothing special.
        pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
    }

    /// What a creation answers.
    pub struct CreateResponse {
        /// Id of the container, 64 hexadecimal digits.
        pub id: String,
        /// What was not done as asked.
        pub warnings: Vec<String>,
    }
}
