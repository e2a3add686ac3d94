//! `spec`: a configuration to start from.

use std::path::Path;

use oci::runtime::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process,
    Resources, Root, Spec,
};

use crate::Failure;
use crate::arguments::{Flag, Parsed};

/// `spec [--bundle DIR] [--rootless]`: writes `config.json`; one that exists is left alone.
pub(crate) fn spec(words: &[String]) -> Result<u8, Failure> {
    let flags = [Flag::value("bundle", Some('b')), Flag::switch("rootless", None)];
    let parsed = Parsed::read(words, &flags)?;
    let path = Path::new(parsed.value("bundle").unwrap_or(".")).join("config.json");
    if path.exists() {
        return Err("File config.json exists. Remove it first".to_owned().into());
    }
    let spec = if parsed.has("rootless") { rootless() } else { default() };
    let text = serde_json::to_string_pretty(&spec).map_err(|error| error.to_string())?;
    std::fs::write(&path, text + "\n")
        .map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(0)
}

/// A shell with a terminal, few rights and a read-only root.
fn default() -> Spec {
    Spec {
        oci_version: oci::runtime::VERSION.to_owned(),
        process: Some(process()),
        root: Some(Root { path: "rootfs".to_owned(), readonly: true }),
        hostname: Some("brig".to_owned()),
        mounts: mounts(),
        linux: Some(linux()),
        ..Spec::default()
    }
}

/// The same in a user namespace whose root is the caller, with the host's network, and without what
/// only the host's root may ask for; as runc has it.
fn rootless() -> Spec {
    let mut spec = default();
    if let Some(linux) = &mut spec.linux {
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
        linux.uid_mappings = map(rustix::process::geteuid().as_raw());
        linux.gid_mappings = map(rustix::process::getegid().as_raw());
        linux.resources = None;
    }
    for mount in &mut spec.mounts {
        // No other group is there.
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
        if mount.destination == "/sys" {
            // A new one would want a network namespace of its own.
            mount.kind = Some("none".to_owned());
            mount.source = Some("/sys".to_owned());
            mount.options = words("rbind nosuid noexec nodev ro");
        }
    }
    spec
}

fn process() -> Process {
    let names = words("CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE");
    Process {
        terminal: true,
        args: words("sh"),
        env: words("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm"),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: names.clone(),
            effective: names.clone(),
            permitted: names,
            ..Capabilities::default()
        }),
        no_new_privileges: true,
        ..Process::default()
    }
}

fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &str| Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: words(options),
        ..Mount::default()
    };
    vec![
        mount("/proc", "proc", "proc", ""),
        mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5",
        ),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"),
    ]
}

fn linux() -> Linux {
    let namespaces = [
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Mount,
        NamespaceKind::Cgroup,
    ];
    let deny = DeviceRule { access: Some("rwm".to_owned()), ..DeviceRule::default() };
    Linux {
        resources: Some(Resources { devices: vec![deny], ..Resources::default() }),
        namespaces: namespaces.map(|kind| Namespace { kind, path: None }).to_vec(),
        masked_paths: words(
            "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
             /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats \
             /sys/devices/virtual/powercap /sys/firmware",
        ),
        readonly_paths: words("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"),
        ..Linux::default()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
