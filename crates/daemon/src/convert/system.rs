//! `/version` and `/info`.

use std::collections::BTreeMap;

use docker_api::ApiVersion;
use docker_api::system::{
    Commit, Component, FirewallBackend, IndexConfig, Info, Platform, Plugins, RegistryConfig,
    Runtime, Swarm, Version,
};
use engine::HostFacts;
use jiff::Timestamp;

use super::limits::signed;

/// brig's own version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Where clients look for Go's version.
const COMPILER: &str = concat!("rust", env!("CARGO_PKG_RUST_VERSION"));
/// The registry of names without one.
const INDEX: &str = "https://index.docker.io/v1/";

/// Go's word for a machine.
fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `GET /version`.
pub(crate) fn version(facts: &HostFacts) -> Version {
    let details = [
        ("ApiVersion", ApiVersion::NEWEST.to_string()),
        ("Arch", architecture(&facts.architecture).to_owned()),
        ("Experimental", "false".to_owned()),
        ("GoVersion", COMPILER.to_owned()),
        ("KernelVersion", facts.kernel.clone()),
        ("MinAPIVersion", ApiVersion::OLDEST.to_string()),
        ("Os", "linux".to_owned()),
    ];
    Version {
        platform: Platform { name: "brig".to_owned() },
        components: vec![Component {
            name: "Engine".to_owned(),
            version: VERSION.to_owned(),
            details: details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }],
        version: VERSION.to_owned(),
        api_version: ApiVersion::NEWEST.to_string(),
        min_api_version: ApiVersion::OLDEST.to_string(),
        git_commit: String::new(),
        go_version: COMPILER.to_owned(),
        os: "linux".to_owned(),
        arch: architecture(&facts.architecture).to_owned(),
        kernel_version: facts.kernel.clone(),
        experimental: false,
        build_time: String::new(),
    }
}

/// `GET /info`.
pub(crate) fn info(facts: HostFacts, now: Timestamp) -> Info {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    Info {
        containers: count(facts.containers.all),
        containers_running: count(facts.containers.running),
        containers_paused: count(facts.containers.paused),
        containers_stopped: count(facts.containers.stopped),
        images: count(facts.images),
        driver: "overlay2".to_owned(),
        driver_status: vec![["Snapshotter".to_owned(), facts.storage_driver]],
        plugins: Plugins {
            volume: words(&["local"]),
            network: words(&["bridge", "host", "null"]),
            authorization: None,
            log: words(&["json-file", "none"]),
        },
        memory_limit: facts.memory_limit,
        swap_limit: facts.swap_limit,
        cpu_cfs_period: facts.cpu_quota,
        cpu_cfs_quota: facts.cpu_quota,
        cpu_shares: facts.cpu_quota,
        cpu_set: facts.cpu_quota,
        pids_limit: facts.pids_limit,
        ipv4_forwarding: facts.ip_forward,
        oom_kill_disable: facts.cgroup_version == 1,
        system_time: now.to_string(),
        logging_driver: "json-file".to_owned(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: facts.cgroup_version.to_string(),
        kernel_version: facts.kernel,
        operating_system: facts.operating_system,
        os_version: facts.operating_system_version,
        os_type: "linux".to_owned(),
        architecture: facts.architecture,
        index_server_address: INDEX.to_owned(),
        registry_config: Some(registries()),
        ncpu: i64::from(facts.processors),
        mem_total: signed(Some(facts.memory)),
        docker_root_dir: facts.root,
        name: facts.name,
        server_version: VERSION.to_owned(),
        runtimes: ["brig", "runc"]
            .map(|name| {
                let runtime = Runtime { path: name.to_owned(), runtime_args: Vec::new() };
                (name.to_owned(), runtime)
            })
            .into(),
        default_runtime: "brig".to_owned(),
        swarm: Swarm { local_node_state: "inactive".to_owned(), ..Swarm::default() },
        live_restore_enabled: true,
        init_binary: "brig".to_owned(),
        runc_commit: Commit { id: VERSION.to_owned() },
        init_commit: Commit { id: VERSION.to_owned() },
        security_options: facts.security_options,
        firewall_backend: Some(FirewallBackend {
            driver: "nftables".to_owned(),
            details: Vec::new(),
        }),
        warnings: facts.warnings,
        id: facts.instance,
        ..Info::default()
    }
}

fn registries() -> RegistryConfig {
    let official = IndexConfig {
        name: "docker.io".to_owned(),
        mirrors: Vec::new(),
        secure: true,
        official: true,
    };
    RegistryConfig {
        insecure_registry_cidrs: vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()],
        index_configs: BTreeMap::from([("docker.io".to_owned(), official)]),
        mirrors: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use engine::HostFacts;

    use super::version;

    #[test]
    fn version_has_what_clients_read() {
        let facts = HostFacts { architecture: "x86_64".into(), ..HostFacts::default() };
        let json = serde_json::to_value(version(&facts)).unwrap();
        assert_eq!(json["Components"][0]["Name"], "Engine");
        assert_eq!(json["Arch"], "amd64");
        assert_eq!(json["MinAPIVersion"], "1.24");
    }
}
