//! `/info`, `/version`, `/auth`, `/system/df`, `/_ping`.

use std::collections::BTreeMap;

use crate::lenient::{is_zero, null_if_empty, wire};
use crate::{ApiVersion, container, image, volume};

/// What the headers of `/_ping` say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// Newest API version of the server.
    pub api_version: Option<ApiVersion>,
    /// `linux`.
    pub os_type: String,
    /// Experimental features are on.
    pub experimental: bool,
    /// The `Server` header, `Docker/… (linux)`.
    pub server: String,
}

wire! {
    /// `GET /version`.
    pub struct Version {
        /// Name of the product.
        pub platform: Platform,
        /// Its parts.
        pub components: Vec<Component>,
        /// Version of the engine.
        pub version: String,
        /// Newest API version.
        pub api_version: String,
        /// Oldest API version.
        #[serde(rename = "MinAPIVersion")]
        pub min_api_version: String,
        /// Commit it was built from.
        pub git_commit: String,
        /// Version of the compiler, where clients expect Go's.
        pub go_version: String,
        /// `linux`.
        pub os: String,
        /// `amd64`, …
        pub arch: String,
        /// `uname -r`.
        #[serde(skip_serializing_if = "is_zero")]
        pub kernel_version: String,
        /// Experimental features are on.
        #[serde(skip_serializing_if = "is_zero")]
        pub experimental: bool,
        /// When it was built.
        #[serde(skip_serializing_if = "is_zero")]
        pub build_time: String,
    }

    /// Name of the product.
    #[derive(Eq)]
    pub struct Platform {
        /// The name.
        pub name: String,
    }

    /// A part of the product.
    #[derive(Eq)]
    pub struct Component {
        /// Its name; clients look for `Engine`.
        pub name: String,
        /// Its version.
        pub version: String,
        /// More about it.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub details: BTreeMap<String, String>,
    }

    /// `GET /info`.
    pub struct Info {
        /// Id of the engine.
        #[serde(rename = "ID")]
        pub id: String,
        /// All containers.
        pub containers: i64,
        /// Those that run.
        pub containers_running: i64,
        /// Those that are paused.
        pub containers_paused: i64,
        /// All others.
        pub containers_stopped: i64,
        /// Images.
        pub images: i64,
        /// `overlay2`, as tools expect it.
        pub driver: String,
        /// `[["Backing Filesystem", "extfs"], …]`.
        pub driver_status: Vec<[String; 2]>,
        /// Drivers by kind.
        pub plugins: Plugins,
        /// Memory can be limited.
        pub memory_limit: bool,
        /// Swap can be limited.
        pub swap_limit: bool,
        /// Quota and period exist.
        #[serde(rename = "CpuCfsPeriod")]
        pub cpu_cfs_period: bool,
        /// Quota and period exist.
        #[serde(rename = "CpuCfsQuota")]
        pub cpu_cfs_quota: bool,
        /// Shares exist.
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        /// Sets of processors exist.
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        /// Processes can be limited.
        pub pids_limit: bool,
        /// Packets between addresses are forwarded.
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        /// Bridged packets pass the firewall (dropped by API 1.50).
        pub bridge_nf_iptables: bool,
        /// Bridged packets pass the firewall (dropped by API 1.50).
        #[serde(rename = "BridgeNfIp6tables")]
        pub bridge_nf_ip6tables: bool,
        /// The daemon logs much.
        pub debug: bool,
        /// Open files of the daemon.
        #[serde(rename = "NFd")]
        pub n_fd: i64,
        /// The OOM killer can be kept away.
        pub oom_kill_disable: bool,
        /// Tasks of the daemon.
        #[serde(rename = "NGoroutines")]
        pub n_goroutines: i64,
        /// Now, RFC 3339.
        pub system_time: String,
        /// Default log driver.
        pub logging_driver: String,
        /// `cgroupfs` or `systemd`.
        pub cgroup_driver: String,
        /// `1` or `2`.
        #[serde(skip_serializing_if = "is_zero")]
        pub cgroup_version: String,
        /// Clients of `/events`.
        #[serde(rename = "NEventsListener")]
        pub n_events_listener: i64,
        /// `uname -r`.
        pub kernel_version: String,
        /// Pretty name of the distribution.
        pub operating_system: String,
        /// Version of the distribution.
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        /// `linux`.
        #[serde(rename = "OSType")]
        pub os_type: String,
        /// `x86_64`, …
        pub architecture: String,
        /// The registry used for names without one.
        pub index_server_address: String,
        /// Registries configured.
        pub registry_config: Option<RegistryConfig>,
        /// Processors.
        #[serde(rename = "NCPU")]
        pub ncpu: i64,
        /// Bytes.
        pub mem_total: i64,
        /// Unused here.
        pub generic_resources: Option<Vec<serde_json::Value>>,
        /// The data directory.
        pub docker_root_dir: String,
        /// Proxy of the daemon.
        pub http_proxy: String,
        /// Proxy of the daemon.
        pub https_proxy: String,
        /// Hosts without proxy.
        pub no_proxy: String,
        /// Host name.
        pub name: String,
        /// Labels of the daemon.
        pub labels: Vec<String>,
        /// Experimental features are on.
        pub experimental_build: bool,
        /// Version of the engine.
        pub server_version: String,
        /// Runtimes by name.
        pub runtimes: BTreeMap<String, Runtime>,
        /// Name of the default runtime.
        pub default_runtime: String,
        /// State of the swarm.
        pub swarm: Swarm,
        /// Containers outlive the daemon.
        pub live_restore_enabled: bool,
        /// For Windows.
        pub isolation: String,
        /// Name of the init program.
        pub init_binary: String,
        /// Version of containerd, where clients expect one.
        pub containerd_commit: Commit,
        /// Version of the runtime.
        pub runc_commit: Commit,
        /// Version of the init program.
        pub init_commit: Commit,
        /// `name=seccomp,profile=builtin`, …
        pub security_options: Vec<String>,
        /// What enforces the rules of the network.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub firewall_backend: Option<FirewallBackend>,
        /// Directories of CDI specifications.
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Vec<String>,
        /// What an administrator should know.
        #[serde(serialize_with = "null_if_empty")]
        pub warnings: Vec<String>,
    }

    /// Drivers by kind.
    pub struct Plugins {
        /// Of volumes.
        pub volume: Vec<String>,
        /// Of networks.
        pub network: Vec<String>,
        /// Of authorization.
        pub authorization: Option<Vec<String>>,
        /// Of logs.
        pub log: Vec<String>,
    }

    /// Registries configured.
    pub struct RegistryConfig {
        /// Networks without TLS.
        #[serde(rename = "InsecureRegistryCIDRs")]
        pub insecure_registry_cidrs: Vec<String>,
        /// Registries by name.
        pub index_configs: BTreeMap<String, IndexConfig>,
        /// Mirrors of the default one.
        #[serde(serialize_with = "null_if_empty")]
        pub mirrors: Vec<String>,
    }

    /// One registry.
    pub struct IndexConfig {
        /// Its name.
        pub name: String,
        /// Its mirrors.
        pub mirrors: Vec<String>,
        /// With TLS.
        pub secure: bool,
        /// The default one.
        pub official: bool,
    }

    /// One runtime.
    pub struct Runtime {
        /// Its program.
        #[serde(rename = "path", skip_serializing_if = "is_zero")]
        pub path: String,
        /// Its arguments.
        #[serde(rename = "runtimeArgs", skip_serializing_if = "Vec::is_empty")]
        pub runtime_args: Vec<String>,
    }

    /// State of the swarm.
    pub struct Swarm {
        /// Id of this node.
        #[serde(rename = "NodeID")]
        pub node_id: String,
        /// Address of this node.
        pub node_addr: String,
        /// `inactive`, …
        pub local_node_state: String,
        /// Whether this node governs.
        pub control_available: bool,
        /// What keeps it from working.
        pub error: String,
        /// Governing nodes.
        pub remote_managers: Option<Vec<serde_json::Value>>,
    }

    /// A version by commit.
    pub struct Commit {
        /// The commit.
        #[serde(rename = "ID")]
        pub id: String,
    }

    /// What enforces the rules of the network.
    pub struct FirewallBackend {
        /// `nftables`, `iptables`, …
        pub driver: String,
        /// `[["ReloadedAt", "…"]]`.
        #[serde(rename = "Info", skip_serializing_if = "Vec::is_empty")]
        pub details: Vec<[String; 2]>,
    }

    /// `GET /system/df`.
    pub struct DiskUsage {
        /// Bytes of all layers.
        pub layers_size: i64,
        /// Images.
        pub images: Vec<image::Summary>,
        /// Containers, with sizes.
        pub containers: Vec<container::Summary>,
        /// Volumes, with usage.
        pub volumes: Vec<volume::Volume>,
        /// Steps of builds.
        pub build_cache: Vec<serde_json::Value>,
    }

    /// `POST /auth`, and the content of `X-Registry-Auth`.
    pub struct AuthConfig {
        /// Who.
        #[serde(rename = "username", skip_serializing_if = "is_zero")]
        pub username: String,
        /// The secret.
        #[serde(rename = "password", skip_serializing_if = "is_zero")]
        pub password: String,
        /// `base64(username:password)`.
        #[serde(rename = "auth", skip_serializing_if = "is_zero")]
        pub auth: String,
        /// Legacy.
        #[serde(rename = "email", skip_serializing_if = "is_zero")]
        pub email: String,
        /// Which registry.
        #[serde(rename = "serveraddress", skip_serializing_if = "is_zero")]
        pub server_address: String,
        /// A token for getting tokens.
        #[serde(rename = "identitytoken", skip_serializing_if = "is_zero")]
        pub identity_token: String,
        /// A token for the registry itself.
        #[serde(rename = "registrytoken", skip_serializing_if = "is_zero")]
        pub registry_token: String,
    }

    /// What `POST /auth` answers.
    pub struct AuthResponse {
        /// `Login Succeeded`.
        pub status: String,
        /// To be kept instead of the password.
        pub identity_token: String,
    }
}
