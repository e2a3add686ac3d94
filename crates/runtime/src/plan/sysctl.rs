//! Kernel parameters: only those that belong to a namespace of the container's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linux::process::Namespaces;

use super::NamespacePlan;
use crate::Error;

const OF_IPC: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg_next_id",
    "kernel.sem_next_id",
];

/// Paths below `/proc` and values.
pub(super) fn plan(
    sysctls: &BTreeMap<String, String>,
    namespaces: &NamespacePlan,
) -> Result<Vec<(PathBuf, String)>, Error> {
    sysctls.iter().map(|(name, value)| one(name, value, namespaces)).collect()
}

fn one(name: &str, value: &str, namespaces: &NamespacePlan) -> Result<(PathBuf, String), Error> {
    let fail = |reason: &str| Err(Error::invalid("linux.sysctl", format!("{name}: {reason}")));
    let path = path_of(name);
    let dotted = path.to_string_lossy().replace('/', ".");
    let owner = if dotted.starts_with("net.") {
        Namespaces::NETWORK
    } else if OF_IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        Namespaces::IPC
    } else if dotted == "kernel.domainname" {
        Namespaces::UTS
    } else {
        return fail("is not in a separate kernel namespace");
    };
    if !namespaces.has(owner) {
        return fail(&format!("needs a {} namespace of the container's own", owner.file_name()));
    }
    let is_plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
    if !path.components().all(is_plain) || value.contains('\0') {
        return fail("is not the name of a kernel parameter");
    }
    Ok((Path::new("sys").join(path), value.to_owned()))
}

/// As sysctl(8): the first separator in the name, `.` or `/`, is the separator; the other one then
/// stands for itself turned round (`net.ipv4.conf.eth0/1.mtu` has the interface `eth0.1`).
fn path_of(name: &str) -> PathBuf {
    if name.find(['.', '/']).is_some_and(|at| name.as_bytes().get(at) == Some(&b'/')) {
        return PathBuf::from(name);
    }
    let turn = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    PathBuf::from(name.chars().map(turn).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{one, path_of};
    use crate::plan::NamespacePlan;
    use linux::process::Namespaces;
    use std::path::Path;

    #[test]
    fn names_become_paths() {
        assert_eq!(path_of("net.ipv4.ip_forward"), Path::new("net/ipv4/ip_forward"));
        assert_eq!(path_of("net.ipv4.conf.eth0/1.mtu"), Path::new("net/ipv4/conf/eth0.1/mtu"));
        assert_eq!(path_of("net/ipv4/conf/eth0.1/mtu"), Path::new("net/ipv4/conf/eth0.1/mtu"));
    }

    #[test]
    fn only_namespaced_ones() {
        let own = NamespacePlan { new: Namespaces::NETWORK, ..NamespacePlan::default() };
        assert!(one("net.ipv4.ip_forward", "1", &own).is_ok());
        for name in
            ["kernel.shmmax", "kernel.core_pattern", "vm.swappiness", "net", "net.//.x", "net/../x"]
        {
            assert!(one(name, "1", &own).is_err(), "{name}");
        }
        assert!(one("net.a///b", "1", &own).is_ok_and(|(path, _)| !path.has_root()));
        assert!(one("net.ipv4.ip_forward", "1", &NamespacePlan::default()).is_err());
    }
}
