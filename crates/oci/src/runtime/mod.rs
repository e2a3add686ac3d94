//! The OCI runtime specification 1.3 for Linux, as types (`config.json` of a bundle).
//!
//! One plain struct for each object of the specification, with its names. What the specification
//! lets be absent is an `Option`, or an empty `Vec` or map; `null` counts as absent, unknown members
//! are passed over. Meaning and checks are the runtime's.

mod hook;
mod linux;
mod mount;
mod process;
mod resources;
mod seccomp;
mod state;

pub use hook::{Hook, Hooks};
pub use linux::{
    Device, IdMapping, IntelRdt, Linux, LinuxPersonality, LinuxTimeOffset, MemoryPolicy, Namespace,
    NamespaceKind, NetDevice,
};
pub use mount::Mount;
pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User,
};
pub use resources::{
    BlockIo, BlockIoWeightDevice, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory,
    Network, Pids, Rdma, Resources, ThrottleDevice,
};
pub use seccomp::{Seccomp, SeccompArgument, SeccompRule};
pub use state::{ContainerProcessState, State, Status};

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Reads a `config.json`. Not generic, so that all of the reading lies together in the program: one
/// that runs for milliseconds feels every page it touches.
///
/// # Errors
/// Where the text is no configuration, by line and column.
pub fn spec_from_json(text: &[u8]) -> Result<Spec, serde_json::Error> {
    serde_json::from_slice(text)
}

/// The version of the specification that [`Spec::oci_version`] of our own bundles names.
pub const VERSION: &str = "1.2.1";

/// A container's configuration: the whole of `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Version of the specification the bundle follows.
    pub oci_version: String,
    /// What is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Host name inside, needs a UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// NIS domain name inside, needs a UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts, in this order.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs to run around the container's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free text for callers.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// All that is only for Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether the root is read-only for the container.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
}

/// Go writes an empty list or map as `null`.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{NamespaceKind, Spec};

    #[test]
    fn reads_null_unknown_and_absent() {
        let text = r#"{"ociVersion":"1.0.2","future":{"x":1},
            "process":{"args":null,"env":null,"cwd":"/","user":{"uid":7,"gid":8},"consoleSize":null},
            "root":{"path":"rootfs"},"mounts":null,
            "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/run/netns/x"}],
                     "resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":-1}}}}"#;
        let spec: Spec = serde_json::from_str(text).unwrap();
        let linux = spec.linux.as_ref().unwrap();
        assert_eq!(linux.namespaces[1].kind, NamespaceKind::Network);
        assert_eq!(linux.resources.as_ref().unwrap().memory.as_ref().unwrap().limit, Some(-1));
        assert!(spec.mounts.is_empty());
        let again: Spec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn an_unknown_namespace_is_an_error() {
        let text = r#"{"linux":{"namespaces":[{"type":"dream"}]}}"#;
        assert!(serde_json::from_str::<Spec>(text).is_err());
    }
}
