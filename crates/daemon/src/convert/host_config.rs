//! The wire's `HostConfig` as the engine's options.

use std::net::IpAddr;

use docker_api::container as wire;
use engine::container::{
    HostOptions, LogConfig, MountKind, MountSpec, NamespaceMode, NetworkMode, NetworkOptions,
    PortRange, Propagation, PublishSpec, RestartPolicy, SecurityOptions, TerminalSize,
};

use super::create::{address, non_empty, port};
use super::limits::{self, positive};
use crate::http::Refusal;

/// The engine's options of what the wire says.
pub(super) fn options(mut config: wire::HostConfig) -> Result<HostOptions, Refusal> {
    refuse_missing(&config)?;
    let resources = limits::read(&mut config)?;
    let network = network(&mut config)?;
    let mounts = config.mounts.into_iter().map(mount).collect::<Result<_, Refusal>>()?;
    Ok(HostOptions {
        auto_remove: config.auto_remove,
        restart: restart_policy(&config.restart_policy)?,
        network,
        security: SecurityOptions {
            privileged: config.privileged,
            capabilities_add: config.cap_add,
            capabilities_drop: config.cap_drop,
            options: config.security_opt,
            read_only_root: config.readonly_rootfs,
            masked_paths: config.masked_paths,
            read_only_paths: config.readonly_paths,
        },
        resources,
        binds: config.binds,
        mounts,
        tmpfs: config.tmpfs,
        volumes_from: config.volumes_from,
        shm_size: positive(config.shm_size, "ShmSize")?,
        log: LogConfig { driver: config.log_config.kind, options: config.log_config.config },
        init: config.init,
        pid_mode: NamespaceMode::parse(&config.pid_mode),
        ipc_mode: NamespaceMode::parse(&config.ipc_mode),
        uts_mode: NamespaceMode::parse(&config.uts_mode),
        cgroup_mode: NamespaceMode::parse(&config.cgroupns_mode),
        user_mode: NamespaceMode::parse(&config.userns_mode),
        sysctls: config.sysctls,
        oom_score_adj: oom_score(config.oom_score_adj)?,
        group_add: config.group_add,
        cgroup_parent: non_empty(&config.cgroup_parent),
        console_size: terminal_size(config.console_size),
    })
}

fn refuse_missing(config: &wire::HostConfig) -> Result<(), Refusal> {
    if !matches!(config.runtime.as_str(), "" | "runc" | "brig" | "io.containerd.runc.v2") {
        let message = format!("unknown or invalid runtime name: {}", config.runtime);
        return Err(Refusal::invalid(message));
    }
    if !matches!(config.isolation.as_str(), "" | "default") {
        let message = format!("invalid isolation \"{}\" on linux", config.isolation);
        return Err(Refusal::invalid(message));
    }
    if !matches!(config.volume_driver.as_str(), "" | "local") {
        return Err(Refusal::not_implemented("VolumeDriver (--volume-driver)"));
    }
    let given = [
        (!config.links.is_empty(), "Links (--link)"),
        (!config.storage_opt.is_empty(), "StorageOpt (--storage-opt)"),
        (!config.cgroup.is_empty(), "Cgroup"),
    ];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(Refusal::not_implemented(option)),
        None => Ok(()),
    }
}

fn restart_policy(policy: &wire::RestartPolicy) -> Result<RestartPolicy, Refusal> {
    let maximum = u32::try_from(policy.maximum_retry_count).map_err(|_| {
        Refusal::invalid("invalid restart policy: maximum retry count cannot be negative")
    })?;
    if maximum != 0 && policy.name != "on-failure" {
        return Err(Refusal::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    match policy.name.as_str() {
        "" | "no" => Ok(RestartPolicy::No),
        "always" => Ok(RestartPolicy::Always),
        "unless-stopped" => Ok(RestartPolicy::UnlessStopped),
        "on-failure" => Ok(RestartPolicy::OnFailure { maximum }),
        other => Err(Refusal::invalid(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
             'on-failure', or 'unless-stopped'"
        ))),
    }
}

fn oom_score(score: i64) -> Result<Option<i32>, Refusal> {
    match i32::try_from(score) {
        Ok(0) => Ok(None),
        Ok(score) if (-1000..=1000).contains(&score) => Ok(Some(score)),
        _ => Err(Refusal::invalid(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ))),
    }
}

/// Height and width; absent when either is 0.
pub(crate) fn terminal_size([height, width]: [u32; 2]) -> Option<TerminalSize> {
    let cells = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    (height > 0 && width > 0).then(|| TerminalSize { height: cells(height), width: cells(width) })
}

fn network(config: &mut wire::HostConfig) -> Result<NetworkOptions, Refusal> {
    let mut published = Vec::new();
    for (container_port, bindings) in std::mem::take(&mut config.port_bindings) {
        let container_port = port(&container_port)?;
        for binding in bindings.unwrap_or_default() {
            published.push(PublishSpec {
                port: container_port,
                host_ip: address::<IpAddr>(&binding.host_ip, "HostIp")?,
                host_ports: host_ports(&binding.host_port)?,
            });
        }
    }
    let dns = config.dns.iter().filter(|text| !text.is_empty());
    let dns = dns.map(|text| {
        text.parse().map_err(|_| Refusal::invalid(format!("invalid DNS server address: {text}")))
    });
    Ok(NetworkOptions {
        mode: NetworkMode::parse(&config.network_mode),
        published,
        publish_all: config.publish_all_ports,
        dns: dns.collect::<Result<_, Refusal>>()?,
        dns_search: std::mem::take(&mut config.dns_search),
        dns_options: std::mem::take(&mut config.dns_options),
        extra_hosts: std::mem::take(&mut config.extra_hosts),
        ..NetworkOptions::default()
    })
}

/// A port, a range, or any when empty or 0.
fn host_ports(text: &str) -> Result<Option<PortRange>, Refusal> {
    let number = |text: &str| {
        text.parse::<u16>()
            .map_err(|_| Refusal::invalid(format!("invalid port specification: \"{text}\"")))
    };
    if matches!(text, "" | "0") {
        return Ok(None);
    }
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(Refusal::invalid(format!("invalid port specification: \"{text}\"")));
    }
    Ok(Some(PortRange { first, last }))
}

fn mount(wish: wire::Mount) -> Result<MountSpec, Refusal> {
    let kind = match wish.kind.as_str() {
        "bind" => MountKind::Bind,
        "volume" | "" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "image" | "cluster" | "npipe" => {
            return Err(Refusal::not_implemented(&format!("mount type \"{}\"", wish.kind)));
        }
        other => return Err(Refusal::invalid(format!("mount type unknown: \"{other}\""))),
    };
    let mut spec = MountSpec {
        kind,
        source: wish.source,
        target: wish.target,
        read_only: wish.read_only,
        ..MountSpec::default()
    };
    if let Some(bind) = wish.bind_options {
        if bind.read_only_force_recursive || bind.read_only_non_recursive {
            return Err(Refusal::not_implemented("BindOptions.ReadOnly(Non|Force)Recursive"));
        }
        spec.non_recursive = bind.non_recursive;
        spec.create_source = bind.create_mountpoint;
        if !bind.propagation.is_empty() {
            spec.propagation = Some(Propagation::parse(&bind.propagation).ok_or_else(|| {
                Refusal::invalid(format!("invalid propagation mode: {}", bind.propagation))
            })?);
        }
    }
    if let Some(volume) = wish.volume_options {
        spec.no_copy = volume.no_copy;
        spec.subpath = non_empty(&volume.subpath);
        spec.volume_labels = volume.labels;
        if let Some(driver) = volume.driver_config {
            spec.volume_driver = non_empty(&driver.name);
            spec.volume_options = driver.options;
        }
    }
    if let Some(tmpfs) = wish.tmpfs_options {
        if !tmpfs.options.is_empty() {
            return Err(Refusal::not_implemented("TmpfsOptions.Options"));
        }
        spec.tmpfs_size = positive(tmpfs.size_bytes, "TmpfsOptions.SizeBytes")?;
        spec.tmpfs_mode = Some(tmpfs.mode).filter(|&mode| mode != 0);
    }
    Ok(spec)
}
