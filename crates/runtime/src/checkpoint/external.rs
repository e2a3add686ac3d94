//! What of a container is not its own: mounts and namespaces that CRIU is not to make again, but to
//! find.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::{Layout, Mode, Version};
use linux::path::{FileType, Root};
use oci::runtime::{Linux, Mount, NamespaceKind, Spec};

use crate::Error;

/// A mount of the host's: where it is in the container, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExternalMount {
    pub(super) destination: String,
    pub(super) source: String,
}

/// A namespace that is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) kind: NamespaceKind,
    pub(super) path: String,
}

/// What CRIU of today cannot do, before it is tried.
pub(super) fn refuse_unsupported(spec: &Spec) -> Result<(), Error> {
    let empty = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&empty);
    let unsupported = |what: &str| {
        Err(Error::unsupported(format!("checkpoint and restore of a container with {what}")))
    };
    let is_mapped = |mount: &Mount| {
        let by_option = |option: &String| matches!(option.as_str(), "idmap" | "ridmap");
        !mount.uid_mappings.is_empty() || mount.options.iter().any(by_option)
    };
    if spec.mounts.iter().any(is_mapped) {
        return unsupported("id-mapped mounts: CRIU does not know them");
    }
    if linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User) {
        return unsupported("a user namespace: it is not proven to be restored as it was");
    }
    let is_joined = |kind| joined(linux).iter().any(|joined| joined.kind == kind);
    if is_joined(NamespaceKind::Cgroup) || is_joined(NamespaceKind::Time) {
        return unsupported("a cgroup or time namespace of somebody else: CRIU cannot join them");
    }
    if linux.seccomp.as_ref().is_some_and(|seccomp| seccomp.listener_path.is_some()) {
        return unsupported("a listener of its system calls: who listens is not restored");
    }
    Ok(())
}

/// The namespaces that have a path.
pub(super) fn joined(linux: &Linux) -> Vec<Joined> {
    let of = |namespace: &oci::runtime::Namespace| {
        let path = namespace.path.clone().filter(|path| !path.is_empty())?;
        Some(Joined { kind: namespace.kind, path })
    };
    linux.namespaces.iter().filter_map(of).collect()
}

/// Those that CRIU calls external; it joins all others by their path.
pub(super) fn key_of(kind: NamespaceKind) -> Option<(&'static str, &'static str)> {
    match kind {
        NamespaceKind::Network => Some(("net", "extRootNetNS")),
        NamespaceKind::Pid => Some(("pid", "extRootPidNS")),
        _ => None,
    }
}

/// Every bind mount of the configuration; `group` is the container's control group.
pub(super) fn mounts(
    spec: &Spec,
    bundle: &Path,
    root: &Root,
    group: &str,
) -> Result<Vec<ExternalMount>, Error> {
    let mut all = Vec::new();
    for mount in &spec.mounts {
        let destination = place_of(&mount.destination, root)?;
        let kind = mount.kind.as_deref().unwrap_or_default();
        if is_bind(mount) {
            let source = bundle.join(mount.source.as_deref().unwrap_or_default());
            all.push(external(&destination, &source));
        } else if kind == "cgroup" && !has_group_namespace(spec) {
            all.extend(group_mounts(&destination, group)?);
        }
    }
    Ok(all)
}

fn is_bind(mount: &Mount) -> bool {
    let by_option = |option: &String| matches!(option.as_str(), "bind" | "rbind");
    let is_remount = mount.options.iter().any(|option| option == "remount");
    !is_remount && (mount.kind.as_deref() == Some("bind") || mount.options.iter().any(by_option))
}

fn has_group_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.into_iter().any(|namespace| namespace.kind == NamespaceKind::Cgroup)
}

/// Those of cgroup v1 are bound, one for each hierarchy.
fn group_mounts(destination: &Path, group: &str) -> Result<Vec<ExternalMount>, Error> {
    let layout = Layout::detect()?;
    if layout.mode() == Mode::Unified {
        return Ok(Vec::new());
    }
    let first = layout.hierarchies().iter().filter(|found| found.version == Version::V1);
    let of = |mount_point: &Path| {
        let name = mount_point.file_name()?;
        let source = mount_point.join(group.trim_start_matches('/'));
        Some(external(&destination.join(name), &source))
    };
    Ok(first.filter_map(|hierarchy| of(&hierarchy.mount_point)).collect())
}

fn external(destination: &Path, source: &Path) -> ExternalMount {
    let text = |path: &Path| path.display().to_string();
    ExternalMount { destination: text(destination), source: text(source) }
}

/// Masked files that are there, in the root of a living container: the host's null device lies over
/// them. (Over directories lies a file system of the container's own.)
pub(super) fn masked_files(paths: &[String], root: &Root) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for path in paths {
        let Some(found) = root.find(Path::new(path))? else { continue };
        let status =
            rustix::fs::fstat(&found).map_err(|errno| linux::Error::new("look at", path, errno))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Where a destination leads in a root file system on which nothing is mounted; what is not there
/// yet is where it says.
pub(super) fn place_of(destination: &str, root: &Root) -> Result<PathBuf, Error> {
    let lexical = Path::new("/").join(destination);
    let Some(found) = root.find(&lexical)? else { return Ok(lexical) };
    let (Some(found), Some(root)) = (path_of(&found), path_of(&root.locate(Path::new("/"))?))
    else {
        return Ok(lexical);
    };
    Ok(found.strip_prefix(root).map_or(lexical, |inside| Path::new("/").join(inside)))
}

fn path_of(descriptor: &OwnedFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).ok()
}

#[cfg(test)]
mod tests {
    use super::{ExternalMount, is_bind, joined, mounts, place_of, refuse_unsupported};
    use linux::path::Root;
    use oci::runtime::Spec;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    fn spec(text: &str) -> Spec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn bind_mounts_are_external_where_they_really_are() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("run/x")).unwrap();
        std::fs::create_dir(directory.path().join("var")).unwrap();
        symlink("/run", directory.path().join("var/run")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(place_of("/var/run/x", &root).unwrap(), PathBuf::from("/run/x"));
        assert_eq!(place_of("/none", &root).unwrap(), PathBuf::from("/none"));
        let spec = spec(
            r#"{"mounts":[
                {"destination":"/proc","type":"proc"},
                {"destination":"/var/run/x","type":"bind","source":"data"},
                {"destination":"/y","type":"none","source":"/z","options":["rbind"]},
                {"destination":"/y","options":["remount","bind"]}
            ],"linux":{"namespaces":[{"type":"cgroup"}]}}"#,
        );
        let all = mounts(&spec, Path::new("/bundle"), &root, "/g").unwrap();
        let external = |destination: &str, source: &str| ExternalMount {
            destination: destination.to_owned(),
            source: source.to_owned(),
        };
        assert_eq!(all, [external("/run/x", "/bundle/data"), external("/y", "/z")]);
        assert!(!is_bind(&spec.mounts[0]));
    }

    #[test]
    fn what_cannot_be_restored_is_refused() {
        for (text, reason) in [
            (r#"{"linux":{"namespaces":[{"type":"user"}]}}"#, "user namespace"),
            (r#"{"linux":{"namespaces":[{"type":"time","path":"/x"}]}}"#, "time namespace"),
            (r#"{"mounts":[{"destination":"/x","options":["ridmap"]}]}"#, "id-mapped"),
        ] {
            let error = refuse_unsupported(&spec(text)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let text = r#"{"linux":{"namespaces":[{"type":"network","path":"/x"},{"type":"time"}]}}"#;
        assert!(refuse_unsupported(&spec(text)).is_ok());
        assert_eq!(joined(&spec(text).linux.unwrap()).len(), 1);
    }
}
