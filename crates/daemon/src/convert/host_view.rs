//! The engine's options as the wire's `HostConfig`, for inspection.

use docker_api::container as wire;
use engine::container::{
    HostOptions, MountKind, MountSpec, NetworkMode, NetworkOptions, PortRange, RestartPolicy,
};

use super::limits::{self, signed};

/// Bytes of `/dev/shm` when none are asked for.
const SHM_SIZE: i64 = 64 << 20;

/// The wire's form of the engine's options.
pub(super) fn host_config(options: &HostOptions) -> wire::HostConfig {
    let mut config = wire::HostConfig {
        binds: options.binds.clone(),
        log_config: wire::LogConfig {
            kind: or(&options.log.driver, "json-file"),
            config: options.log.options.clone(),
        },
        restart_policy: restart_policy(options.restart),
        auto_remove: options.auto_remove,
        volumes_from: options.volumes_from.clone(),
        console_size: options
            .console_size
            .map_or([0, 0], |size| [u32::from(size.height), u32::from(size.width)]),
        cap_add: options.security.capabilities_add.clone(),
        cap_drop: options.security.capabilities_drop.clone(),
        cgroupns_mode: or(&options.cgroup_mode.to_string(), "private"),
        group_add: options.group_add.clone(),
        ipc_mode: or(&options.ipc_mode.to_string(), "private"),
        oom_score_adj: options.oom_score_adj.map_or(0, i64::from),
        pid_mode: options.pid_mode.to_string(),
        privileged: options.security.privileged,
        readonly_rootfs: options.security.read_only_root,
        security_opt: options.security.options.clone(),
        tmpfs: options.tmpfs.clone(),
        uts_mode: options.uts_mode.to_string(),
        userns_mode: options.user_mode.to_string(),
        shm_size: options.shm_size.map_or(SHM_SIZE, |bytes| signed(Some(bytes))),
        sysctls: options.sysctls.clone(),
        runtime: "brig".to_owned(),
        cgroup_parent: options.cgroup_parent.clone().unwrap_or_default(),
        mounts: options.mounts.iter().map(mount).collect(),
        init: options.init,
        ..wire::HostConfig::default()
    };
    limits::write(&mut config, &options.resources);
    write_network(&mut config, &options.network);
    config
}

/// `default` is what Docker calls the bridge since API 1.44's clients show it so.
pub(super) fn network_mode(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::Default => "bridge".to_owned(),
        other => other.to_string(),
    }
}

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default } else { text }.to_owned()
}

fn restart_policy(policy: RestartPolicy) -> wire::RestartPolicy {
    let (name, maximum) = match policy {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure { maximum } => ("on-failure", maximum),
    };
    wire::RestartPolicy { name: name.to_owned(), maximum_retry_count: i64::from(maximum) }
}

fn write_network(config: &mut wire::HostConfig, network: &NetworkOptions) {
    config.network_mode = network_mode(&network.mode);
    for published in &network.published {
        let bindings = config.port_bindings.entry(published.port.to_string()).or_default();
        bindings.get_or_insert_default().push(wire::PortBinding {
            host_ip: published.host_ip.map(|address| address.to_string()).unwrap_or_default(),
            host_port: published.host_ports.map(range).unwrap_or_default(),
        });
    }
    config.publish_all_ports = network.publish_all;
    config.dns = network.dns.iter().map(ToString::to_string).collect();
    config.dns_options.clone_from(&network.dns_options);
    config.dns_search.clone_from(&network.dns_search);
    config.extra_hosts.clone_from(&network.extra_hosts);
}

fn range(range: PortRange) -> String {
    if range.first == range.last {
        range.first.to_string()
    } else {
        format!("{}-{}", range.first, range.last)
    }
}

/// The word for a kind of mount.
pub(super) const fn mount_kind(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
    }
}

fn mount(spec: &MountSpec) -> wire::Mount {
    let bind = wire::BindOptions {
        propagation: spec.propagation.map_or_else(String::new, |it| it.as_str().to_owned()),
        non_recursive: spec.non_recursive,
        create_mountpoint: spec.create_source,
        ..wire::BindOptions::default()
    };
    let volume = wire::VolumeOptions {
        no_copy: spec.no_copy,
        labels: spec.volume_labels.clone(),
        subpath: spec.subpath.clone().unwrap_or_default(),
        driver_config: spec.volume_driver.as_ref().map(|name| wire::DriverConfig {
            name: name.clone(),
            options: spec.volume_options.clone(),
        }),
    };
    let tmpfs = wire::TmpfsOptions {
        size_bytes: signed(spec.tmpfs_size),
        mode: spec.tmpfs_mode.unwrap_or(0),
        options: Vec::new(),
    };
    wire::Mount {
        kind: mount_kind(spec.kind).to_owned(),
        source: spec.source.clone(),
        target: spec.target.clone(),
        read_only: spec.read_only,
        bind_options: given(bind),
        volume_options: given(volume),
        tmpfs_options: given(tmpfs),
        ..wire::Mount::default()
    }
}

/// Absent when nothing is set.
fn given<T: Default + PartialEq>(options: T) -> Option<T> {
    Some(options).filter(|options| *options != T::default())
}
