//! Options that contradict each other, the machine or reason: pure.

use super::options::{
    ContainerSpec, MountKind, MountSpec, NamespaceMode, NetworkMode, NetworkOptions, Protocol,
    RestartPolicy,
};
use super::resources::Resources;
use super::{bind, signal};
use crate::error::{Error, Result};

/// The least memory a container can start with.
const LEAST_MEMORY: u64 = 6 << 20;

/// What the machine has, as far as options depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// Processors online.
    pub(crate) processors: u64,
    /// Whether `SELinux` is there.
    pub(crate) selinux: bool,
    /// Whether `AppArmor` is there.
    pub(crate) apparmor: bool,
}

/// Checks merged options; gives warnings.
///
/// # Errors
/// `Invalid` for what is wrong, `Unsupported` with the reason for what brig cannot do.
pub(crate) fn validate(spec: &ContainerSpec, machine: Machine) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    general(spec)?;
    namespaces(spec)?;
    network(spec, &mut warnings)?;
    resources(&spec.host.resources, machine, &mut warnings)?;
    mounts(spec, machine)?;
    Ok(warnings)
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(message.into()))
}

fn general(spec: &ContainerSpec) -> Result<()> {
    if let Some(text) = &spec.stop_signal {
        signal::parse(text)?;
    }
    if let Some(directory) = &spec.working_directory
        && !directory.starts_with('/')
    {
        return invalid(format!(
            "the working directory '{directory}' is invalid, it needs to be an absolute path"
        ));
    }
    for assignment in &spec.environment {
        if assignment.is_empty() || assignment.starts_with('=') {
            return invalid(format!("invalid environment variable: {assignment}"));
        }
    }
    if let Some(hostname) = &spec.hostname
        && (hostname.len() > 63 || hostname.bytes().any(|b| !b.is_ascii_graphic() || b == b'/'))
    {
        return invalid(format!("invalid hostname format: {hostname}"));
    }
    if let Some(domain) = &spec.domainname
        && (domain.len() > 64 || domain.bytes().any(|b| !b.is_ascii_graphic()))
    {
        return invalid(format!("invalid domain name format: {domain}"));
    }
    let host = &spec.host;
    if host.auto_remove && host.restart != RestartPolicy::No {
        return invalid("can't create 'AutoRemove' container with restart policy");
    }
    if host.oom_score_adj.is_some_and(|adjust| !(-1000..=1000).contains(&adjust)) {
        return invalid("Invalid value for oom score adj, range is [-1000, 1000]");
    }
    if let Some(parent) = &host.cgroup_parent
        && (!parent.starts_with('/') || parent.split('/').any(|part| part == ".."))
    {
        return invalid(format!("invalid cgroup parent '{parent}': it must be absolute"));
    }
    Ok(())
}

fn namespaces(spec: &ContainerSpec) -> Result<()> {
    let host = &spec.host;
    let modes = [
        ("PID", &host.pid_mode),
        ("IPC", &host.ipc_mode),
        ("UTS", &host.uts_mode),
        ("cgroup namespace", &host.cgroup_mode),
        ("user namespace", &host.user_mode),
    ];
    for (kind, mode) in modes {
        let fits = match mode {
            NamespaceMode::Default | NamespaceMode::Host => true,
            NamespaceMode::Private => kind != "user namespace",
            NamespaceMode::Shareable => kind == "IPC",
            NamespaceMode::Container(name) => !name.is_empty() && matches!(kind, "PID" | "IPC"),
            NamespaceMode::Unknown(_) => false,
        };
        if !fits {
            return invalid(format!("invalid {kind} mode: {mode}"));
        }
    }
    if host.uts_mode == NamespaceMode::Host && spec.hostname.is_some() {
        return invalid("conflicting options: hostname and the UTS mode");
    }
    Ok(())
}

fn network(spec: &ContainerSpec, warnings: &mut Vec<String>) -> Result<()> {
    let network = &spec.host.network;
    let publishes = !network.published.is_empty() || network.publish_all;
    place(network)?;
    match &network.mode {
        NetworkMode::Container(name) => {
            let conflict = if name.is_empty() {
                return invalid(
                    "Invalid network mode: invalid container format container:<name|id>",
                );
            } else if spec.hostname.is_some() {
                "hostname and the network mode"
            } else if !network.dns.is_empty() {
                "dns and the network mode"
            } else if !network.extra_hosts.is_empty() {
                "custom host-to-IP mapping and the network mode"
            } else if publishes {
                "port publishing and the container type network mode"
            } else if !spec.exposed_ports.is_empty() && network.publish_all {
                "port exposing and the container type network mode"
            } else {
                return Ok(());
            };
            return invalid(format!("conflicting options: {conflict}"));
        }
        NetworkMode::Host | NetworkMode::None if publishes => {
            warnings.push(format!(
                "Published ports are discarded when using {} network mode",
                network.mode
            ));
        }
        _ => {}
    }
    for publish in &network.published {
        if publish.port.protocol == Protocol::Sctp {
            continue;
        }
        if publish.host_ports.is_some_and(|range| range.first > range.last || range.first == 0) {
            return invalid(format!("invalid host port range for {}", publish.port));
        }
    }
    for entry in &network.extra_hosts {
        extra_host(entry)?;
    }
    for (option, words) in [
        ("add-host", &network.extra_hosts),
        ("dns-search", &network.dns_search),
        ("dns-option", &network.dns_options),
        ("network-alias", &network.aliases),
    ] {
        // Each becomes part of one line of a file.
        if let Some(word) = words.iter().find(|word| word.chars().any(char::is_control)) {
            return invalid(format!("invalid {option} {word:?}: it is more than one line"));
        }
    }
    Ok(())
}

/// A container without an endpoint of its own has no address and no name on a network.
fn place(network: &NetworkOptions) -> Result<()> {
    let has_none =
        matches!(network.mode, NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_));
    let given = [
        (network.mac_address.is_some(), "mac-address"),
        (network.ipv4.is_some(), "ip"),
        (network.ipv6.is_some(), "ip6"),
        (!network.aliases.is_empty(), "network-alias"),
    ];
    match given.into_iter().find(|(given, _)| has_none && *given) {
        Some((_, option)) => invalid(format!("conflicting options: {option} and the network mode")),
        None => Ok(()),
    }
}

/// Splits `name:address` or `name=address`; the address may be `host-gateway`.
///
/// # Errors
/// `Invalid` when it is neither.
pub(crate) fn extra_host(entry: &str) -> Result<(&str, &str)> {
    let split = entry.split_once('=').or_else(|| entry.split_once(':'));
    match split {
        Some((name, address)) if !name.is_empty() => {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            if address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok() {
                return Ok((name, address));
            }
            invalid(format!("invalid IP address in add-host: \"{address}\""))
        }
        _ => invalid(format!("bad format for add-host: \"{entry}\"")),
    }
}

fn resources(wanted: &Resources, machine: Machine, warnings: &mut Vec<String>) -> Result<()> {
    memory(wanted, warnings)?;
    if let Some(nano) = wanted.nano_cpus.filter(|nano| *nano > 0) {
        if wanted.cpu_quota.unwrap_or(0) > 0 || wanted.cpu_period.unwrap_or(0) > 0 {
            return invalid(
                "Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set.",
            );
        }
        if nano > machine.processors * 1_000_000_000 || nano < 10_000_000 {
            return invalid(format!(
                "range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available",
                count = machine.processors
            ));
        }
    }
    if wanted.cpu_period.is_some_and(|period| period != 0 && !(1000..=1_000_000).contains(&period))
    {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if wanted.cpu_quota.is_some_and(|quota| quota > 0 && quota < 1000) {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    let weights = wanted.blkio_weight_devices.iter().map(|device| device.weight);
    for weight in wanted.blkio_weight.into_iter().chain(weights) {
        if weight != 0 && !(10..=1000).contains(&weight) {
            return invalid("Range of blkio weight is from 10 to 1000");
        }
    }
    for limit in &wanted.ulimits {
        if limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard) {
            return invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            ));
        }
    }
    Ok(())
}

fn memory(wanted: &Resources, warnings: &mut Vec<String>) -> Result<()> {
    let limit = wanted.memory.filter(|bytes| *bytes > 0);
    if limit.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    match (limit, wanted.memory_swap.filter(|swap| *swap != 0)) {
        (None, Some(swap)) if swap > 0 => {
            return invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            );
        }
        (Some(limit), Some(swap)) if u64::try_from(swap).is_ok_and(|swap| swap < limit) => {
            return invalid(
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            );
        }
        _ => {}
    }
    if let (Some(limit), Some(reservation)) = (limit, wanted.memory_reservation)
        && reservation > limit
    {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if wanted.memory_swappiness.is_some_and(|swappiness| swappiness > 100) {
        return invalid(
            "Invalid value for memory swappiness: valid memory swappiness range is 0-100",
        );
    }
    if wanted.oom_kill_disable && limit.is_none() {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can \
             result in the system running out of resources."
                .to_owned(),
        );
    }
    Ok(())
}

fn mounts(spec: &ContainerSpec, machine: Machine) -> Result<()> {
    let mut targets = Vec::new();
    for text in &spec.host.binds {
        let bind = bind::parse(text)?;
        if bind.relabel && machine.selinux {
            return Err(Error::Unsupported(format!(
                "cannot mount '{text}': relabelling for SELinux is not implemented"
            )));
        }
        targets.push(bind.mount.target);
    }
    for mount in &spec.host.mounts {
        check_mount(mount)?;
        targets.push(mount.target.clone());
    }
    for target in spec.host.tmpfs.keys() {
        if !target.starts_with('/') {
            return invalid(format!("invalid mount path: '{target}' mount path must be absolute"));
        }
        targets.push(target.clone());
    }
    for target in &mut targets {
        target.truncate(target.trim_end_matches('/').len());
    }
    targets.sort_unstable();
    if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
        return invalid(format!("Duplicate mount point: {}", pair[0]));
    }
    Ok(())
}

fn check_mount(mount: &MountSpec) -> Result<()> {
    let wrong = |why: &str| {
        invalid(format!("invalid mount config for type \"{}\": {why}", kind_word(mount.kind)))
    };
    if mount.target.is_empty() {
        return wrong("field Target must not be empty");
    }
    if !mount.target.starts_with('/') {
        return wrong(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.target
        ));
    }
    if mount.target.trim_end_matches('/').is_empty() {
        return wrong("invalid specification: destination can't be '/'");
    }
    match mount.kind {
        MountKind::Bind if mount.source.is_empty() => wrong("field Source must not be empty"),
        MountKind::Bind if !mount.source.starts_with('/') => {
            wrong(&format!("invalid mount path: '{}' mount path must be absolute", mount.source))
        }
        MountKind::Volume
            if mount.volume_driver.as_deref().is_some_and(|name| !matches!(name, "" | "local")) =>
        {
            Err(Error::Unsupported(format!(
                "volume driver '{}' is not supported: only local volumes exist",
                mount.volume_driver.as_deref().unwrap_or_default()
            )))
        }
        MountKind::Volume if !mount.volume_options.is_empty() => Err(Error::Unsupported(
            "options of the local volume driver are not supported".to_owned(),
        )),
        MountKind::Volume if !mount.source.is_empty() => bind::check_volume_name(&mount.source),
        MountKind::Tmpfs if !mount.source.is_empty() => wrong("field Source must not be specified"),
        MountKind::Bind | MountKind::Volume | MountKind::Tmpfs => Ok(()),
    }
}

const fn kind_word(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{
        ContainerSpec, MountSpec, NamespaceMode, NetworkMode, RestartPolicy,
    };
    use super::super::resources::Ulimit;
    use super::{Machine, extra_host, validate};

    const MACHINE: Machine = Machine { processors: 2, selinux: false, apparmor: false };

    /// The message of the refusal of default options changed by `change`.
    fn refusal(change: impl FnOnce(&mut ContainerSpec)) -> String {
        let mut spec = ContainerSpec::default();
        change(&mut spec);
        validate(&spec, MACHINE).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
    }

    #[test]
    fn resources() {
        for (expected, message) in [
            ("accepted", refusal(|s| s.host.resources.memory = Some(6 << 20))),
            ("Minimum memory", refusal(|s| s.host.resources.memory = Some(6 << 19))),
            ("You should always", refusal(|s| s.host.resources.memory_swap = Some(1 << 30))),
            ("accepted", refusal(|s| s.host.resources.memory_swap = Some(-1))),
            ("range of CPUs", refusal(|s| s.host.resources.nano_cpus = Some(2_500_000_000))),
            ("accepted", refusal(|s| s.host.resources.nano_cpus = Some(1_500_000_000))),
            ("Range of blkio", refusal(|s| s.host.resources.blkio_weight = Some(9))),
            (
                "ulimit soft",
                refusal(|s| {
                    let limit = Ulimit { name: "nofile".into(), soft: -1, hard: 5 };
                    s.host.resources.ulimits = vec![limit];
                }),
            ),
        ] {
            assert!(message.starts_with(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn contradictions() {
        for (expected, message) in [
            (
                "can't create 'AutoRemove'",
                refusal(|s| {
                    s.host.auto_remove = true;
                    s.host.restart = RestartPolicy::Always;
                }),
            ),
            (
                "conflicting options: hostname and the network mode",
                refusal(|s| {
                    s.hostname = Some("x".into());
                    s.host.network.mode = NetworkMode::Container("y".into());
                }),
            ),
            (
                "conflicting options: hostname and the UTS mode",
                refusal(|s| {
                    s.hostname = Some("x".into());
                    s.host.uts_mode = NamespaceMode::Host;
                }),
            ),
            (
                "conflicting options: ip and the network mode",
                refusal(|s| {
                    s.host.network.ipv4 = Some(std::net::Ipv4Addr::LOCALHOST);
                    s.host.network.mode = NetworkMode::Host;
                }),
            ),
            (
                "conflicting options: network-alias and the network mode",
                refusal(|s| {
                    s.host.network.aliases = vec!["x".into()];
                    s.host.network.mode = NetworkMode::Container("y".into());
                }),
            ),
            (
                "conflicting options: mac-address and the network mode",
                refusal(|s| {
                    s.host.network.mac_address = Some("02:00:00:00:00:01".into());
                    s.host.network.mode = NetworkMode::None;
                }),
            ),
            ("invalid UTS mode", refusal(|s| s.host.uts_mode = NamespaceMode::Shareable)),
            ("invalid user namespace", refusal(|s| s.host.user_mode = NamespaceMode::Private)),
            (
                "Duplicate mount point: /a",
                refusal(|s| {
                    s.host.binds = vec!["/x:/a".into()];
                    s.host.tmpfs = [("/a/".into(), String::new())].into();
                }),
            ),
            (
                "invalid mount config",
                refusal(|s| {
                    let mount = MountSpec { target: "/a".into(), ..MountSpec::default() };
                    s.host.mounts = vec![mount];
                }),
            ),
            ("the working directory", refusal(|s| s.working_directory = Some("x".into()))),
            ("invalid hostname", refusal(|s| s.hostname = Some("a b".into()))),
            ("invalid domain name", refusal(|s| s.domainname = Some("a\nb".into()))),
            ("invalid dns-search", refusal(|s| s.host.network.dns_search = vec!["a\nb".into()])),
        ] {
            assert!(message.starts_with(expected), "{expected}: {message}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(extra_host("a:1.2.3.4").unwrap(), ("a", "1.2.3.4"));
        assert_eq!(extra_host("a:fe80::1").unwrap(), ("a", "fe80::1"));
        assert_eq!(extra_host("a=[fe80::1]").unwrap(), ("a", "fe80::1"));
        assert_eq!(extra_host("a:host-gateway").unwrap(), ("a", "host-gateway"));
        for bad in ["a", ":1.2.3.4", "a:", "a:1.2.3"] {
            assert!(extra_host(bad).is_err(), "{bad}");
        }
    }
}
