//! What is mounted in a container, parents before children.

use oci::runtime::Mount;

use super::{INIT_PATH, Inputs, NamespaceSource};
use crate::container::record::PlannedMount;
use crate::container::{MountKind, Propagation};
use crate::error::{Error, Result};

/// Bytes of `/dev/shm` unless asked otherwise.
const SHM_SIZE: u64 = 64 << 20;

pub(super) fn mounts(inputs: &Inputs<'_>) -> Result<Vec<Mount>> {
    let mut mounts = system_mounts(inputs);
    for (source, target) in inputs.files {
        let Some(source) = source.to_str() else {
            return Err(Error::Invalid("the run directory's path is not UTF-8".to_owned()));
        };
        mounts.push(bind(source, target, &["rbind", "rprivate"]));
    }
    if let Some(executable) = inputs.init {
        mounts.push(bind(executable, INIT_PATH, &["bind", "ro", "nosuid", "nodev", "rprivate"]));
    }
    let wanted: Vec<Mount> = inputs
        .mounts
        .iter()
        .filter(|mount| mount.point.kind != MountKind::Tmpfs)
        .map(planned)
        .collect();
    let memory = inputs.mounts.iter().filter(|mount| mount.point.kind == MountKind::Tmpfs);
    let wanted: Vec<Mount> = memory.map(planned).chain(wanted).collect();
    // What the caller mounts somewhere replaces ours.
    mounts.retain(|ours| !wanted.iter().any(|mount| same(&mount.destination, &ours.destination)));
    mounts.extend(wanted);
    // Stable: of two at one depth, the earlier stays the earlier.
    mounts.sort_by_key(|mount| depth(&mount.destination));
    Ok(mounts)
}

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").count()
}

fn system_mounts(inputs: &Inputs<'_>) -> Vec<Mount> {
    let security = &inputs.spec.host.security;
    let writable = if security.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        special("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        special("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        special(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        special("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", writable]),
        special("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", writable]),
    ];
    if inputs.namespaces.ipc == NamespaceSource::Host {
        mounts.push(bind("/dev/mqueue", "/dev/mqueue", &["rbind", "rprivate"]));
        mounts.push(bind("/dev/shm", "/dev/shm", &["rbind", "rprivate"]));
    } else {
        let size = format!(
            "size={}",
            inputs.spec.host.shm_size.filter(|size| *size > 0).unwrap_or(SHM_SIZE)
        );
        mounts.push(special("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
        mounts.push(special("/dev/shm", "tmpfs", "shm", &options));
    }
    mounts
}

fn special(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: target.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

fn bind(source: &str, target: &str, options: &[&str]) -> Mount {
    special(target, "bind", source, options)
}

fn planned(mount: &PlannedMount) -> Mount {
    let point = &mount.point;
    if !mount.is_bind() {
        let options: Vec<&str> = mount.options.iter().map(String::as_str).collect();
        return special(&point.target, "tmpfs", "tmpfs", &options);
    }
    let recursion = if mount.non_recursive { "bind" } else { "rbind" };
    let access = match (point.writable, mount.non_recursive) {
        (true, _) => "rw",
        (false, true) => "ro",
        (false, false) => "rro",
    };
    let propagation = point.propagation.unwrap_or_default().as_str();
    let beneath = mount.beneath.as_ref().map(|directory| format!("X-brig.beneath={directory}"));
    let options = [recursion, access, propagation].into_iter().chain(beneath.as_deref());
    bind(&point.source, &point.target, &options.collect::<Vec<_>>())
}

/// How the root must spread so that the binds' own propagation can work.
pub(super) fn root_propagation(mounts: &[PlannedMount]) -> Option<String> {
    let any = |wanted: [Propagation; 2]| {
        mounts.iter().any(|mount| mount.point.propagation.is_some_and(|p| wanted.contains(&p)))
    };
    if any([Propagation::Shared, Propagation::Rshared]) {
        return Some("shared".to_owned());
    }
    any([Propagation::Slave, Propagation::Rslave]).then(|| "rslave".to_owned())
}

/// The options of a tmpfs over the safe defaults; a word of the caller's replaces its opposite.
///
/// # Errors
/// `Invalid` for an option that tmpfs does not have.
pub(crate) fn tmpfs_options(asked: &str) -> Result<Vec<String>> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
    for word in asked.split(',').filter(|word| !word.is_empty()) {
        let key = word.split('=').next().unwrap_or_default();
        let flag = matches!(
            word,
            "ro" | "rw"
                | "exec"
                | "noexec"
                | "suid"
                | "nosuid"
                | "dev"
                | "nodev"
                | "sync"
                | "async"
                | "atime"
                | "noatime"
                | "diratime"
                | "nodiratime"
                | "relatime"
                | "norelatime"
                | "strictatime"
                | "nostrictatime"
        );
        let value = word.contains('=')
            && matches!(
                key,
                "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol" | "huge"
            );
        if !flag && !value {
            return Err(Error::Invalid(format!("invalid tmpfs option [\"{word}\"]")));
        }
        let opposite = word.strip_prefix("no").map_or_else(|| format!("no{word}"), str::to_owned);
        options.retain(|other| {
            *other != word
                && (value || *other != opposite)
                && !(value && other.starts_with(&format!("{key}=")))
        });
        options.push(word.to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::tmpfs_options;

    #[test]
    fn tmpfs() {
        assert_eq!(tmpfs_options("").unwrap(), ["noexec", "nosuid", "nodev"]);
        assert_eq!(
            tmpfs_options("exec,size=1m,mode=1777,size=2m").unwrap(),
            ["nosuid", "nodev", "exec", "mode=1777", "size=2m"]
        );
        for bad in ["bogus", "size", "exec=1", "upperdir=/x"] {
            assert!(tmpfs_options(bad).is_err(), "{bad}");
        }
    }
}
