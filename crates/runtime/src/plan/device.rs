//! What lies in `/dev`: the nodes and links the specification promises (config-linux.md, "Default
//! Devices"), and those a configuration adds.

use std::path::{Component, Path, PathBuf};

use linux::path::Kind;
use oci::runtime::{Device, Linux};

use crate::Error;

/// One entry to make. Paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DevicePlan {
    /// A node made by `mknod`.
    Node { path: PathBuf, kind: Kind, mode: u32, owner: (u32, u32) },
    /// The host's node, bound: a user namespace may not make any.
    Bound { path: PathBuf, kind: Kind },
    /// A symbolic link; what is there stays.
    Link { path: &'static str, target: &'static str },
}

/// Name, major and minor number.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/ptmx", "pts/ptmx"),
];

const CORE: (&str, &str) = ("dev/core", "/proc/kcore");

/// All of them; a configured device takes the place of a default one.
pub(super) fn plan(linux: &Linux, bound: bool, terminal: bool) -> Result<Vec<DevicePlan>, Error> {
    let mut all = Vec::new();
    for device in &linux.devices {
        // The console is the terminal's own, made later.
        if !(terminal && device.path == "/dev/console") {
            all.push(configured(device, bound)?);
        }
    }
    for (name, major, minor) in DEFAULTS {
        let path = Path::new("dev").join(name);
        if linux.devices.iter().any(|device| Path::new(&device.path) == Path::new("/").join(&path))
        {
            continue;
        }
        let kind = Kind::Character(major, minor);
        all.push(if bound {
            DevicePlan::Bound { path, kind }
        } else {
            DevicePlan::Node { path, kind, mode: 0o666, owner: (0, 0) }
        });
    }
    all.extend(LINKS.map(|(path, target)| DevicePlan::Link { path, target }));
    // As runc: only where the kernel has such a file. It is masked by default.
    if Path::new(CORE.1).exists() {
        all.push(DevicePlan::Link { path: CORE.0, target: CORE.1 });
    }
    Ok(all)
}

fn configured(device: &Device, bound: bool) -> Result<DevicePlan, Error> {
    let fail =
        |reason: &str| Err(Error::invalid("linux.devices", format!("{:?}: {reason}", device.path)));
    let (Ok(major), Ok(minor)) = (u32::try_from(device.major), u32::try_from(device.minor)) else {
        return fail("the number is out of range");
    };
    let kind = match device.kind.as_str() {
        "c" | "u" => Kind::Character(major, minor),
        "b" => Kind::Block(major, minor),
        "p" => Kind::Fifo,
        _ => return fail("the type is none of c, u, b, p"),
    };
    let Ok(path) = Path::new(&device.path).strip_prefix("/") else {
        return fail("the path is not absolute");
    };
    if path.as_os_str().is_empty() || path.components().any(|part| part == Component::ParentDir) {
        return fail("the path does not name a node");
    }
    let path = path.to_owned();
    if bound && kind != Kind::Fifo {
        return Ok(DevicePlan::Bound { path, kind });
    }
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    Ok(DevicePlan::Node { path, kind, mode, owner })
}

#[cfg(test)]
mod tests {
    use super::{DevicePlan, plan};
    use linux::path::Kind;
    use oci::runtime::{Device, Linux};
    use std::path::PathBuf;

    fn device(path: &str) -> Device {
        let (kind, path) = ("c".to_owned(), path.to_owned());
        Device { kind, path, major: 10, minor: 229, file_mode: Some(0o600), ..Device::default() }
    }

    #[test]
    fn a_configured_device_replaces_a_default() {
        let linux = Linux { devices: vec![device("/dev/null")], ..Linux::default() };
        let all = plan(&linux, false, false).unwrap();
        let null = PathBuf::from("dev/null");
        let nodes: Vec<_> = all
            .iter()
            .filter(|entry| matches!(entry, DevicePlan::Node { path, .. } if *path == null))
            .collect();
        let (kind, mode) = (Kind::Character(10, 229), 0o600);
        assert_eq!(nodes, [&DevicePlan::Node { path: null.clone(), kind, mode, owner: (0, 0) }]);
    }

    #[test]
    fn wrong_paths() {
        for path in ["dev/x", "/", "/dev/../x"] {
            let linux = Linux { devices: vec![device(path)], ..Linux::default() };
            assert!(plan(&linux, false, false).is_err(), "{path}");
        }
    }
}
