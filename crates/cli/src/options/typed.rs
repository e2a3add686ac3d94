//! The options of `run` and `create` as they were typed.
//!
//! Single values are read here (a size is a number already); what they mean together is decided in
//! [`super::meant`].

use std::path::PathBuf;

use clap::Args;
use docker_api::container::{DeviceMapping, Mount, ThrottleDevice, Ulimit, WeightDevice};

use super::port::PortWish;
use super::value;
use super::{health, mount, network, port};

/// Options of `run` and `create`.
#[derive(Debug, Args)]
pub(crate) struct ContainerOptions {
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM", value_parser = value::stream)]
    pub(super) attach: Vec<value::Stream>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(super) tty: bool,
    /// Assign a name to the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// Automatically remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Pull image before creating ("always", "missing", "never")
    #[arg(long, default_value = "missing", value_parser = value::pull_policy)]
    pub(crate) pull: value::PullPolicy,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print usage
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    #[command(flatten)]
    pub(super) process: ProcessOptions,
    #[command(flatten)]
    pub(super) files: FileOptions,
    #[command(flatten)]
    pub(super) network: NetworkOptions,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
    #[command(flatten)]
    pub(super) isolation: IsolationOptions,
    #[command(flatten)]
    pub(super) life: LifeOptions,
    #[command(flatten)]
    pub(super) refused: RefusedOptions,
}

/// What is run.
#[derive(Debug, Args)]
pub(super) struct ProcessOptions {
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Vec<PathBuf>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long)]
    pub(super) entrypoint: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(super) workdir: String,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(super) user: String,
    /// Add additional groups to join
    #[arg(long, value_name = "GROUP")]
    pub(super) group_add: Vec<String>,
    /// Set meta data on a container
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(super) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "FILE")]
    pub(super) label_file: Vec<PathBuf>,
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) annotation: Vec<String>,
}

/// Files, volumes and devices.
#[derive(Debug, Args)]
pub(super) struct FileOptions {
    /// Bind mount a volume
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub(super) volume: Vec<String>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_parser = mount::parse)]
    pub(super) mount: Vec<Mount>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub(super) tmpfs: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "CONTAINER")]
    pub(super) volumes_from: Vec<String>,
    /// Optional volume driver for the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) volume_driver: String,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Storage driver options for the container
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) storage_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = value::size)]
    pub(super) shm_size: Option<i64>,
    /// Add a host device to the container
    #[arg(long, value_name = "SOURCE[:TARGET[:rwm]]", value_parser = value::device)]
    pub(super) device: Vec<DeviceMapping>,
    /// Add a rule to the cgroup allowed devices list
    #[arg(long, value_name = "RULE", value_parser = value::device_rule)]
    pub(super) device_cgroup_rule: Vec<String>,
}

/// The network.
#[derive(Debug, Args)]
pub(super) struct NetworkOptions {
    /// Connect a container to a network
    #[arg(long, alias = "net", value_parser = network::parse)]
    pub(super) network: Vec<network::Attachment>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "ALIAS")]
    pub(super) network_alias: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long)]
    pub(super) ip: Option<std::net::Ipv4Addr>,
    /// IPv6 address (e.g., `2001:db8::33`)
    #[arg(long)]
    pub(super) ip6: Option<std::net::Ipv6Addr>,
    /// Container IPv4/IPv6 link-local addresses
    #[arg(long, value_name = "ADDRESS")]
    pub(super) link_local_ip: Vec<std::net::IpAddr>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_parser = value::mac_address)]
    pub(super) mac_address: Option<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]", value_parser = port::published)]
    pub(super) publish: Vec<Vec<PortWish>>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(super) publish_all: bool,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT[/PROTOCOL]", value_parser = port::exposed)]
    pub(super) expose: Vec<Vec<String>>,
    /// Container host name
    #[arg(short = 'h', long, default_value = "", hide_default_value = true)]
    pub(super) hostname: String,
    /// Container NIS domain name
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) domainname: String,
    /// Set custom DNS servers
    #[arg(long, value_name = "ADDRESS")]
    pub(super) dns: Vec<std::net::IpAddr>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "DOMAIN")]
    pub(super) dns_search: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "OPTION")]
    pub(super) dns_option: Vec<String>,
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = network::extra_host)]
    pub(super) add_host: Vec<String>,
}

/// Memory, processors and the rest that can be limited.
#[derive(Debug, Args)]
pub(super) struct LimitOptions {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = value::size)]
    pub(super) memory: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = value::swap, allow_hyphen_values = true)]
    pub(super) memory_swap: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES", value_parser = value::size)]
    pub(super) memory_reservation: Option<i64>,
    /// Tune container memory swappiness (0 to 100)
    #[arg(long, value_parser = clap::value_parser!(i64).range(-1..=100), allow_hyphen_values = true)]
    pub(super) memory_swappiness: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL", value_parser = value::cpus)]
    pub(super) cpus: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long)]
    pub(super) cpu_shares: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(super) cpu_quota: Option<i64>,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_rt_period: Option<i64>,
    /// Limit CPU real-time runtime in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(super) cpu_rt_runtime: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) cpuset_mems: String,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, allow_hyphen_values = true)]
    pub(super) pids_limit: Option<i64>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_parser = value::blkio_weight)]
    pub(super) blkio_weight: Option<u16>,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "DEVICE:WEIGHT", value_parser = value::weight_device)]
    pub(super) blkio_weight_device: Vec<WeightDevice>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = value::throttle_bytes)]
    pub(super) device_read_bps: Vec<ThrottleDevice>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = value::throttle_bytes)]
    pub(super) device_write_bps: Vec<ThrottleDevice>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "DEVICE:RATE", value_parser = value::throttle_operations)]
    pub(super) device_read_iops: Vec<ThrottleDevice>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "DEVICE:RATE", value_parser = value::throttle_operations)]
    pub(super) device_write_iops: Vec<ThrottleDevice>,
    /// Ulimit options
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = value::ulimit)]
    pub(super) ulimit: Vec<Ulimit>,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_parser = clap::value_parser!(i64).range(-1000..=1000), allow_hyphen_values = true)]
    pub(super) oom_score_adj: Option<i64>,
    /// Disable OOM Killer
    #[arg(long)]
    pub(super) oom_kill_disable: bool,
}

/// Namespaces, capabilities and profiles.
#[derive(Debug, Args)]
pub(super) struct IsolationOptions {
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(super) privileged: bool,
    /// Security Options
    #[arg(long, value_name = "OPTION")]
    pub(super) security_opt: Vec<String>,
    /// PID namespace to use
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) pid: String,
    /// IPC mode to use
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) ipc: String,
    /// UTS namespace to use
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) uts: String,
    /// User namespace to use
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) userns: String,
    /// Cgroup namespace to use (host|private)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) cgroupns: String,
    /// Optional parent cgroup for the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) cgroup_parent: String,
    /// Sysctl options
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) sysctl: Vec<String>,
    /// Runtime to use for this container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) runtime: String,
    /// GPU devices to add to the container ('all' to pass all GPUs)
    #[arg(long, value_parser = value::gpus)]
    pub(super) gpus: Vec<docker_api::container::DeviceRequest>,
}

/// From start to end.
#[derive(Debug, Args)]
pub(super) struct LifeOptions {
    /// Restart policy to apply when a container exits
    #[arg(long, default_value = "no", value_name = "POLICY[:RETRIES]", value_parser = value::restart_policy)]
    pub(super) restart: docker_api::container::RestartPolicy,
    /// Run an init inside the container that forwards signals and reaps processes (an image may
    /// ask for one: `--init=false` runs none)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(super) init: Option<bool>,
    /// Signal to stop the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) stop_signal: String,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub(super) stop_timeout: Option<i64>,
    /// Logging driver for the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) log_driver: String,
    /// Log driver options
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) log_opt: Vec<String>,
    #[command(flatten)]
    pub(super) health: health::HealthOptions,
}

/// Options that Docker has and brig refuses; the reasons stand in `docs/refused.toml`.
#[derive(Debug, Args)]
pub(super) struct RefusedOptions {
    #[arg(long, hide = true)]
    pub(super) link: Vec<String>,
    #[arg(long, hide = true)]
    pub(super) isolation: Option<String>,
    #[arg(long, hide = true)]
    pub(super) cpu_count: Option<String>,
    #[arg(long, hide = true)]
    pub(super) cpu_percent: Option<String>,
    #[arg(long, hide = true)]
    pub(super) io_maxbandwidth: Option<String>,
    #[arg(long, hide = true)]
    pub(super) io_maxiops: Option<String>,
    #[arg(long, hide = true)]
    pub(super) kernel_memory: Option<String>,
    #[arg(long, hide = true)]
    pub(super) use_api_socket: bool,
    /// True is what brig does, so only `false` is refused.
    #[arg(
        long, hide = true, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", action = clap::ArgAction::Set
    )]
    pub(super) disable_content_trust: bool,
}

impl ContainerOptions {
    /// Whether streams were chosen.
    pub(crate) fn chooses_streams(&self) -> bool {
        !self.attach.is_empty()
    }
}

impl RefusedOptions {
    /// The names of the refused options that were given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let options = [
            ("--link", !self.link.is_empty()),
            ("--isolation", self.isolation.as_deref().is_some_and(|mode| mode != "default")),
            ("--cpu-count", self.cpu_count.is_some()),
            ("--cpu-percent", self.cpu_percent.is_some()),
            ("--io-maxbandwidth", self.io_maxbandwidth.is_some()),
            ("--io-maxiops", self.io_maxiops.is_some()),
            ("--kernel-memory", self.kernel_memory.is_some()),
            ("--use-api-socket", self.use_api_socket),
            ("--disable-content-trust=false", !self.disable_content_trust),
        ];
        options.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
