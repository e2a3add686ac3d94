//! `POST /containers/create`: the wire's request as the engine's options.

use std::collections::BTreeMap;

use docker_api::container::{Config, CreateRequest, HealthConfig};
use docker_api::network::EndpointSettings;
use engine::container::{AttachedStreams, ContainerSpec, NetworkMode, NetworkOptions, Port, Stdin};

use super::host_config;
pub(crate) use super::host_config::terminal_size;
use crate::http::Refusal;

/// The engine's options of a new container.
pub(crate) fn container_spec(
    request: CreateRequest,
    name: Option<&str>,
    platform: Option<&str>,
) -> Result<ContainerSpec, Refusal> {
    let CreateRequest { config, mut host_config, networking_config } = request;
    refuse_missing_features(&config)?;
    let annotations = std::mem::take(&mut host_config.annotations);
    let mut host = host_config::options(host_config)?;
    host.network.mac_address = non_empty(&config.mac_address);
    if config.network_disabled {
        host.network.mode = NetworkMode::None;
    }
    apply_endpoints(&mut host.network, networking_config.endpoints_config)?;
    let exposed = config.exposed_ports.keys().map(|text| port(text));
    let exposed_ports = exposed.collect::<Result<_, Refusal>>()?;
    Ok(ContainerSpec {
        name: name.map(str::to_owned),
        platform: platform.map(str::to_owned),
        command: config.cmd.map(|words| words.0).filter(|words| !words.is_empty()),
        entrypoint: config.entrypoint.map(|words| words.0),
        environment: config.env,
        working_directory: non_empty(&config.working_dir),
        user: non_empty(&config.user),
        hostname: non_empty(&config.hostname),
        domainname: non_empty(&config.domainname),
        labels: config.labels,
        annotations,
        terminal: config.tty,
        stdin: if config.open_stdin {
            Stdin::Open { once: config.stdin_once }
        } else {
            Stdin::Closed
        },
        attached: AttachedStreams {
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
        },
        exposed_ports,
        volumes: config.volumes.into_keys().collect(),
        stop_signal: non_empty(&config.stop_signal),
        stop_timeout: config.stop_timeout,
        image: config.image,
        host,
    })
}

/// What the engine cannot do yet is refused rather than forgotten.
fn refuse_missing_features(config: &Config) -> Result<(), Refusal> {
    if config.healthcheck.as_ref().is_some_and(checks_something) {
        return Err(Refusal::not_implemented("Healthcheck (--health-cmd)"));
    }
    Ok(())
}

fn checks_something(health: &HealthConfig) -> bool {
    !matches!(health.test.first().map(String::as_str), None | Some("NONE"))
}

/// The attachment of a container to its network.
fn apply_endpoints(
    network: &mut NetworkOptions,
    endpoints: BTreeMap<String, Option<EndpointSettings>>,
) -> Result<(), Refusal> {
    if endpoints.len() > 1 {
        return Err(Refusal::not_implemented("attaching a container to several networks"));
    }
    let Some((name, settings)) = endpoints.into_iter().next() else { return Ok(()) };
    let named = NetworkMode::parse(&name);
    if network.mode == NetworkMode::Default {
        network.mode = named;
    } else if !is_same_network(&network.mode, &named) {
        return Err(Refusal::not_implemented("attaching a container to several networks"));
    }
    let Some(settings) = settings else { return Ok(()) };
    if !settings.links.is_empty() {
        return Err(Refusal::not_implemented("EndpointsConfig.Links (--link)"));
    }
    if !settings.driver_opts.is_empty() {
        return Err(Refusal::not_implemented("EndpointsConfig.DriverOpts"));
    }
    network.aliases = settings.aliases;
    if let Some(mac) = non_empty(&settings.mac_address) {
        network.mac_address = Some(mac);
    }
    if let Some(ipam) = settings.ipam_config {
        network.ipv4 = address(&ipam.ipv4_address, "IPv4Address")?;
        network.ipv6 = address(&ipam.ipv6_address, "IPv6Address")?;
        if !ipam.link_local_ips.is_empty() {
            return Err(Refusal::not_implemented("IPAMConfig.LinkLocalIPs"));
        }
    }
    Ok(())
}

/// Whether two words are for one network: `default` is the bridge.
fn is_same_network(one: &NetworkMode, other: &NetworkMode) -> bool {
    let bridge = |mode: &NetworkMode| matches!(mode, NetworkMode::Default | NetworkMode::Bridge);
    one == other || (bridge(one) && bridge(other))
}

/// An address, absent when the text is empty.
pub(super) fn address<T: std::str::FromStr>(text: &str, field: &str) -> Result<Option<T>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse().map_err(|_| Refusal::invalid(format!("invalid {field}: {text}")));
    parsed.map(Some)
}

/// `80/tcp`.
pub(super) fn port(text: &str) -> Result<Port, Refusal> {
    Port::parse(text)
        .ok_or_else(|| Refusal::invalid(format!("invalid port specification: \"{text}\"")))
}

/// Docker's empty text is the engine's `None`.
pub(super) fn non_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use engine::container::{MountKind, NetworkMode, Port, Protocol, RestartPolicy, Stdin};

    use super::container_spec;

    /// What `docker run -d -it -p 8080:80 -p 53/udp -v /a:/b --mount … --restart on-failure:3 …`
    /// of CLI 28 sends, shortened.
    const REQUEST: &str = r#"{"Hostname":"","User":"1000","AttachStdin":false,"ExposedPorts":
        {"80/tcp":{},"53/udp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":false,"Env":["A=b"],
        "Cmd":["sh"],"Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,"OnBuild":null,
        "Labels":{"k":"v"},"HostConfig":{"Binds":["/a:/b"],"ContainerIDFile":"","LogConfig":{"Type":
        "","Config":{}},"NetworkMode":"default","PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1",
        "HostPort":"8080"}],"53/udp":[{"HostIp":"","HostPort":""}]},"RestartPolicy":{"Name":
        "on-failure","MaximumRetryCount":3},"AutoRemove":false,"ConsoleSize":[24,80],"CapAdd":
        ["NET_ADMIN"],"Dns":["9.9.9.9"],"DnsOptions":[],"DnsSearch":[],"GroupAdd":null,"IpcMode":"",
        "PidMode":"host","Memory":536870912,"NanoCpus":1500000000,"PidsLimit":100,"Ulimits":[{"Name":
        "nofile","Hard":20,"Soft":10}],"MemorySwappiness":-1,"OomKillDisable":false,"Devices":[],
        "Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":448}}],
        "MaskedPaths":null,"ReadonlyPaths":null,"Init":true},"NetworkingConfig":{"EndpointsConfig":
        {"default":{"IPAMConfig":null,"Aliases":["web"],"MacAddress":""}}}}"#;

    #[test]
    fn a_request_of_the_docker_cli() {
        let request = serde_json::from_str(REQUEST).unwrap();
        let spec = container_spec(request, Some("web"), None).unwrap();
        assert_eq!(spec.name.as_deref(), Some("web"));
        assert_eq!(spec.command.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(spec.stdin, Stdin::Open { once: false });
        assert_eq!(spec.exposed_ports.len(), 2);
        let host = &spec.host;
        assert_eq!(host.restart, RestartPolicy::OnFailure { maximum: 3 });
        assert_eq!(host.network.mode, NetworkMode::Default);
        assert_eq!(host.network.aliases, ["web"]);
        let published = &host.network.published;
        assert_eq!(published.len(), 2);
        assert_eq!(published[0].port, Port { number: 53, protocol: Protocol::Udp });
        assert!(published[0].host_ip.is_none() && published[0].host_ports.is_none());
        let range = published[1].host_ports.unwrap();
        assert_eq!((range.first, range.last), (8080, 8080));
        assert_eq!(host.resources.memory, Some(512 << 20));
        assert_eq!(host.resources.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.resources.memory_swappiness, None);
        assert_eq!(host.resources.ulimits[0].hard, 20);
        assert_eq!(host.mounts[0].kind, MountKind::Tmpfs);
        assert_eq!(host.mounts[0].tmpfs_mode, Some(0o700));
        assert_eq!(host.init, Some(true));
        assert_eq!(host.pid_mode.to_string(), "host");
    }

    #[test]
    fn annotations_and_the_words_for_the_bridge() {
        let text = r#"{"HostConfig":{"NetworkMode":"bridge","Annotations":{"a":"b"}},
            "NetworkingConfig":{"EndpointsConfig":{"default":{"Aliases":["x"],"GwPriority":5}}}}"#;
        let spec = container_spec(serde_json::from_str(text).unwrap(), None, None).unwrap();
        assert_eq!(spec.annotations["a"], "b");
        assert_eq!(
            (&spec.host.network.mode, spec.host.network.aliases.len()),
            (&NetworkMode::Bridge, 1)
        );
    }

    #[test]
    fn what_is_missing_is_refused_by_name() {
        for (body, part) in [
            (r#"{"Healthcheck":{"Test":["CMD","true"]}}"#, "Healthcheck"),
            (r#"{"HostConfig":{"Links":["a:b"]}}"#, "Links"),
            (r#"{"HostConfig":{"Runtime":"kata"}}"#, "kata"),
            (r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"x"}]}}}"#, "x"),
            (r#"{"HostConfig":{"Memory":-5}}"#, "Memory"),
            (r#"{"HostConfig":{"DeviceRequests":[{"Driver":"nvidia"}]}}"#, "DeviceRequests"),
            (r#"{"ExposedPorts":{"80/icmp":{}}}"#, "80/icmp"),
            (
                r#"{"HostConfig":{"NetworkMode":"host"},
                    "NetworkingConfig":{"EndpointsConfig":{"bridge":{}}}}"#,
                "several networks",
            ),
        ] {
            let refusal =
                container_spec(serde_json::from_str(body).unwrap(), None, None).unwrap_err();
            assert!(refusal.message.contains(part), "{}", refusal.message);
        }
    }
}
