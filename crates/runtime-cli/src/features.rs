//! `features`: what this runtime knows (features.md of the OCI runtime specification).

use linux::seccomp::Architecture;
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::Parsed;
use crate::log::print;

/// `features`: as JSON.
pub(crate) fn features(words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[])?;
    if let Some(word) = parsed.rest.first() {
        return Err(format!("unexpected argument: {word}").into());
    }
    let all = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::runtime::VERSION,
        "hooks": runtime::hook::KINDS,
        "mountOptions": runtime::mount_options(),
        "linux": linux(),
        "annotations": {
            "dev.brig.version": env!("CARGO_PKG_VERSION"),
            "dev.brig.landlock.abi": linux::landlock::version().to_string(),
        },
        "potentiallyUnsafeConfigAnnotations": [runtime::LANDLOCK],
    });
    Ok(print(&format!("{all:#}\n")))
}

fn linux() -> Value {
    let capabilities = linux::capability::NAMES.map(|name| format!("CAP_{name}"));
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": capabilities.as_slice(),
        "cgroup": {
            "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true,
        },
        "seccomp": {
            "enabled": true,
            "actions": runtime::seccomp::ACTIONS,
            "operators": runtime::seccomp::OPERATORS,
            "archs": Architecture::NAMED.map(|(name, _)| name),
            "knownFlags": runtime::seccomp::FLAGS,
            "supportedFlags": runtime::seccomp::FLAGS,
        },
        "apparmor": {"enabled": true},
        // Of processes only: the label of mounts is refused.
        "selinux": {"enabled": false},
        "intelRdt": {"enabled": false},
        "memoryPolicy": memory_policy(),
        "mountExtensions": {"idmap": {"enabled": true}},
        "netDevices": {"enabled": true},
    })
}

fn memory_policy() -> Value {
    json!({"modes": runtime::MEMORY_MODES, "flags": runtime::MEMORY_FLAGS})
}
