//! Options as typed → what the engine is asked for.

use std::collections::BTreeMap;

use docker_api::container::{
    Config, CreateRequest, DeviceMapping, DeviceRequest, HostConfig, LogConfig, NetworkingConfig,
    PortBinding, PortMap,
};
use docker_api::network::{EndpointIpam, EndpointSettings};
use docker_api::{Empty, StringOrList};

use super::typed::{ContainerOptions, FileOptions, IsolationOptions, LimitOptions, NetworkOptions};
use super::value::Stream;
use super::{Surroundings, key_value, mount, network, security, value};

/// Whether the command stays with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `create`, `run`: streams are attached as asked for.
    Attached,
    /// `run -d`.
    Detached,
}

/// What the options mean.
#[derive(Debug)]
pub(crate) struct Meant {
    /// The body of `POST /containers/create`.
    pub(crate) request: CreateRequest,
    /// Options that are refused, by name.
    pub(crate) refused: Vec<&'static str>,
}

/// Interprets the options; `words` are the image and its arguments.
///
/// # Errors
/// A message for the user: options that contradict each other, files that cannot be read.
pub(crate) fn meant(
    options: &ContainerOptions,
    words: &[String],
    mode: Mode,
    around: &Surroundings<'_>,
) -> Result<Meant, String> {
    check(options)?;
    let security = security::read(&options.isolation.security_opt, around)?;
    let mut host_config = HostConfig {
        container_id_file: options
            .cidfile
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        auto_remove: options.rm,
        restart_policy: options.life.restart.clone(),
        log_config: log_config(options)?,
        init: options.life.init,
        annotations: key_value::pairs("annotation", &options.process.annotation)?,
        group_add: options.process.group_add.clone(),
        security_opt: security.options,
        masked_paths: security.unconfined_paths.then(Vec::new),
        readonly_paths: security.unconfined_paths.then(Vec::new),
        ..HostConfig::default()
    };
    isolation(&mut host_config, &options.isolation)?;
    limits(&mut host_config, &options.limits);
    let volumes = files(&mut host_config, &options.files, around)?;
    let mut config = process(options, words, mode, around)?;
    config.volumes = volumes;
    let networking_config = networking(&mut host_config, &mut config, &options.network)?;
    let request = CreateRequest { config, host_config, networking_config };
    Ok(Meant { request, refused: options.refused.given() })
}

fn check(options: &ContainerOptions) -> Result<(), String> {
    let restarts = !matches!(options.life.restart.name.as_str(), "" | "no");
    if options.rm && restarts {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    for (mode, option, kind) in [
        (&options.isolation.pid, "pid", "PID"),
        (&options.isolation.uts, "uts", "UTS"),
        (&options.isolation.userns, "userns", "USER"),
    ] {
        let of_container =
            option == "pid" && mode.strip_prefix("container:").is_some_and(|id| !id.is_empty());
        if !matches!(mode.as_str(), "" | "host" | "private") && !of_container {
            return Err(format!("--{option}: invalid {kind} mode"));
        }
    }
    if !matches!(options.isolation.cgroupns.as_str(), "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".to_owned());
    }
    Ok(())
}

fn process(
    options: &ContainerOptions,
    words: &[String],
    mode: Mode,
    around: &Surroundings<'_>,
) -> Result<Config, String> {
    let (image, arguments) = words.split_first().ok_or("requires at least 1 argument")?;
    let attached = mode == Mode::Attached;
    let wants = |stream, by_default| {
        attached && (options.attach.contains(&stream) || options.attach.is_empty() && by_default)
    };
    let attach_stdin = wants(Stream::Stdin, options.interactive);
    let process = &options.process;
    Ok(Config {
        hostname: options.network.hostname.clone(),
        domainname: options.network.domainname.clone(),
        user: process.user.clone(),
        attach_stdin,
        attach_stdout: wants(Stream::Stdout, true),
        attach_stderr: wants(Stream::Stderr, true),
        tty: options.tty,
        open_stdin: options.interactive,
        stdin_once: options.interactive && attach_stdin,
        env: key_value::environment(&process.env, &process.env_file, around)?,
        cmd: (!arguments.is_empty()).then(|| StringOrList(arguments.to_vec())),
        image: image.clone(),
        working_dir: process.workdir.clone(),
        entrypoint: process.entrypoint.as_ref().map(|program| StringOrList(vec![program.clone()])),
        labels: key_value::labels(&process.label, &process.label_file, around)?,
        stop_signal: options.life.stop_signal.clone(),
        stop_timeout: options.life.stop_timeout,
        healthcheck: options.life.health.config()?,
        ..Config::default()
    })
}

fn log_config(options: &ContainerOptions) -> Result<LogConfig, String> {
    let config = key_value::pairs("log-opt", &options.life.log_opt)?;
    if options.life.log_driver == "none" && !config.is_empty() {
        return Err("invalid logging opts for driver none".to_owned());
    }
    Ok(LogConfig { kind: options.life.log_driver.clone(), config })
}

fn isolation(host: &mut HostConfig, options: &IsolationOptions) -> Result<(), String> {
    host.cap_add.clone_from(&options.cap_add);
    host.cap_drop.clone_from(&options.cap_drop);
    host.privileged = options.privileged;
    host.pid_mode.clone_from(&options.pid);
    host.ipc_mode.clone_from(&options.ipc);
    host.uts_mode.clone_from(&options.uts);
    host.userns_mode.clone_from(&options.userns);
    host.cgroupns_mode.clone_from(&options.cgroupns);
    host.cgroup_parent.clone_from(&options.cgroup_parent);
    host.runtime.clone_from(&options.runtime);
    host.device_requests.clone_from(&options.gpus);
    host.sysctls = key_value::pairs("sysctl", &options.sysctl)?;
    Ok(())
}

fn limits(host: &mut HostConfig, options: &LimitOptions) {
    host.memory = options.memory.unwrap_or_default();
    host.memory_swap = options.memory_swap.unwrap_or_default();
    host.memory_reservation = options.memory_reservation.unwrap_or_default();
    host.memory_swappiness = options.memory_swappiness.filter(|swappiness| *swappiness != -1);
    host.nano_cpus = options.cpus.unwrap_or_default();
    host.cpu_shares = options.cpu_shares.unwrap_or_default();
    host.cpu_period = options.cpu_period.unwrap_or_default();
    host.cpu_quota = options.cpu_quota.unwrap_or_default();
    host.cpu_realtime_period = options.cpu_rt_period.unwrap_or_default();
    host.cpu_realtime_runtime = options.cpu_rt_runtime.unwrap_or_default();
    host.cpuset_cpus.clone_from(&options.cpuset_cpus);
    host.cpuset_mems.clone_from(&options.cpuset_mems);
    host.pids_limit = options.pids_limit;
    host.blkio_weight = options.blkio_weight.unwrap_or_default();
    host.blkio_weight_device.clone_from(&options.blkio_weight_device);
    host.blkio_device_read_bps.clone_from(&options.device_read_bps);
    host.blkio_device_write_bps.clone_from(&options.device_write_bps);
    host.blkio_device_read_iops.clone_from(&options.device_read_iops);
    host.blkio_device_write_iops.clone_from(&options.device_write_iops);
    host.ulimits.clone_from(&options.ulimit);
    host.oom_score_adj = options.oom_score_adj.unwrap_or_default();
    host.oom_kill_disable = options.oom_kill_disable.then_some(true);
}

/// Fills in mounts and devices; the anonymous volumes belong to the portable part.
fn files(
    host: &mut HostConfig,
    options: &FileOptions,
    around: &Surroundings<'_>,
) -> Result<BTreeMap<String, Empty>, String> {
    let mut volumes = BTreeMap::new();
    for text in &options.volume {
        match mount::volume_wish(text, around.directory)? {
            mount::VolumeWish::Bind(bind) => host.binds.push(bind),
            mount::VolumeWish::Anonymous(target) => {
                volumes.insert(target, Empty {});
            }
        }
    }
    host.mounts.clone_from(&options.mount);
    host.tmpfs = mount::tmpfs_wishes(&options.tmpfs);
    host.volumes_from.clone_from(&options.volumes_from);
    host.volume_driver.clone_from(&options.volume_driver);
    host.readonly_rootfs = options.read_only;
    host.storage_opt = key_value::pairs("storage-opt", &options.storage_opt)?;
    host.shm_size = options.shm_size.unwrap_or_default();
    let (named, devices): (Vec<DeviceMapping>, Vec<DeviceMapping>) =
        options.device.iter().cloned().partition(value::is_cdi);
    host.devices = devices;
    if !named.is_empty() {
        host.device_requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: named.into_iter().map(|device| device.path_on_host).collect(),
            ..DeviceRequest::default()
        });
    }
    host.device_cgroup_rules.clone_from(&options.device_cgroup_rule);
    Ok(volumes)
}

fn networking(
    host: &mut HostConfig,
    config: &mut Config,
    options: &NetworkOptions,
) -> Result<NetworkingConfig, String> {
    host.dns = options.dns.iter().map(ToString::to_string).collect();
    host.dns_search = options.dns_search.iter().map(|domain| search_domain(domain)).collect();
    host.dns_options.clone_from(&options.dns_option);
    host.extra_hosts.clone_from(&options.add_host);
    host.publish_all_ports = options.publish_all;
    let (exposed, bindings) = ports(options);
    config.exposed_ports = exposed;
    host.port_bindings = bindings;
    let (mode, endpoints_config) = network::combine(&options.network, &first_endpoint(options))?;
    host.network_mode = mode;
    Ok(NetworkingConfig { endpoints_config })
}

/// A domain without the dot at its end. A lone dot, which asks for no search at all, stays.
fn search_domain(domain: &str) -> String {
    Some(domain.trim_end_matches('.')).filter(|name| !name.is_empty()).unwrap_or(domain).to_owned()
}

/// What the options without a network say about the first one.
fn first_endpoint(options: &NetworkOptions) -> EndpointSettings {
    let ipam = EndpointIpam {
        ipv4_address: options.ip.map(|address| address.to_string()).unwrap_or_default(),
        ipv6_address: options.ip6.map(|address| address.to_string()).unwrap_or_default(),
        link_local_ips: options.link_local_ip.iter().map(ToString::to_string).collect(),
    };
    EndpointSettings {
        ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
        aliases: options.network_alias.clone(),
        mac_address: options.mac_address.clone().unwrap_or_default(),
        ..EndpointSettings::default()
    }
}

fn ports(options: &NetworkOptions) -> (BTreeMap<String, Empty>, PortMap) {
    let mut exposed = BTreeMap::new();
    let mut bindings = PortMap::new();
    for wish in options.publish.iter().flatten() {
        exposed.insert(wish.container.clone(), Empty {});
        let binding = PortBinding { host_ip: wish.address.clone(), host_port: wish.host.clone() };
        let known = bindings.entry(wish.container.clone()).or_default().get_or_insert_default();
        if !known.contains(&binding) {
            known.push(binding);
        }
    }
    for port in options.expose.iter().flatten() {
        exposed.insert(port.clone(), Empty {});
    }
    (exposed, bindings)
}

#[cfg(test)]
mod tests;
