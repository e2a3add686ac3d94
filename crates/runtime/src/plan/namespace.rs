//! Which namespaces the process joins, and which are new.

use std::os::fd::OwnedFd;

use linux::process::Namespaces;
use oci::runtime::{Linux, NamespaceKind};
use rustix::fs::{CWD, Mode, OFlags};

use super::IdMaps;
use crate::Error;

/// Namespaces of a container.
#[derive(Debug, Default)]
pub(crate) struct NamespacePlan {
    /// To be made.
    pub new: Namespaces,
    /// To be joined, in this order.
    pub joined: Vec<(Namespaces, OwnedFd)>,
    /// Whether a network namespace of its own is made beside everything else, and joined when the
    /// caller sends it.
    pub network_follows: bool,
    /// Ids of a new user namespace.
    pub maps: Option<IdMaps>,
    /// Clocks of a new time namespace, as the text of `timens_offsets`.
    pub clocks: String,
}

impl NamespacePlan {
    /// The caller's own is not joined: the process is born in it, and it is not the container's.
    fn join(&mut self, kind: Namespaces, namespace: OwnedFd) -> Result<(), Error> {
        let own = format!("/proc/self/ns/{}", kind.file_name());
        let fail = |errno| linux::Error::new("look at namespace", &own, errno);
        let present = rustix::fs::stat(&own).map_err(fail)?;
        let wanted = rustix::fs::fstat(&namespace).map_err(fail)?;
        if (present.st_dev, present.st_ino) != (wanted.st_dev, wanted.st_ino) {
            self.joined.push((kind, namespace));
        }
        Ok(())
    }

    /// Whether the container has a namespace of this kind that is not the caller's.
    pub(crate) fn has(&self, kind: Namespaces) -> bool {
        let follows = kind == Namespaces::NETWORK && self.network_follows;
        follows || self.new.contains(kind) || self.joined.iter().any(|(one, _)| *one == kind)
    }

    /// Whether the container's network namespace is a new one.
    pub(crate) fn makes_network(&self) -> bool {
        self.network_follows || self.new.contains(Namespaces::NETWORK)
    }
}

/// Whether the container gets a network namespace of its own that can be made before its process:
/// not one that its user namespace will own.
pub(crate) fn wants_network(linux: &Linux) -> bool {
    let has = |kind: NamespaceKind| linux.namespaces.iter().find(|one| one.kind == kind);
    has(NamespaceKind::User).is_none()
        && has(NamespaceKind::Network)
            .is_some_and(|one| one.path.as_deref().is_none_or(str::is_empty))
}

/// Opens the namespaces to join. A user namespace comes first: it owns the others.
pub(crate) fn plan(linux: &Linux, network: Option<OwnedFd>) -> Result<NamespacePlan, Error> {
    let mut plan = NamespacePlan::default();
    let mut seen = Namespaces::NONE;
    for namespace in &linux.namespaces {
        let kind = kind_of(namespace.kind);
        if seen.contains(kind) {
            return Err(Error::invalid(
                "linux.namespaces",
                format!("{} stands there twice", kind.file_name()),
            ));
        }
        seen |= kind;
        match namespace.path.as_deref().filter(|path| !path.is_empty()) {
            _ if kind == Namespaces::NETWORK && network.is_some() => {}
            None => plan.new |= kind,
            Some(path) => plan.join(kind, open(path)?)?,
        }
    }
    if let Some(network) = network {
        plan.join(Namespaces::NETWORK, network)?;
    }
    if !plan.new.contains(Namespaces::MOUNT) {
        return Err(Error::unsupported("a container without mount namespace of its own"));
    }
    if plan.new.contains(Namespaces::NETWORK) && wants_network(linux) {
        plan.new = plan.new.without(Namespaces::NETWORK);
        plan.network_follows = true;
    }
    plan.clocks = clocks(linux, &plan)?;
    plan.joined.sort_by_key(|(kind, _)| *kind != Namespaces::USER);
    if plan.new.contains(Namespaces::USER) {
        plan.maps = Some(IdMaps::of("linux", &linux.uid_mappings, &linux.gid_mappings)?);
    } else if !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty() {
        return Err(Error::invalid("linux.uidMappings", "needs a new user namespace"));
    }
    Ok(plan)
}

/// Only a new namespace's clocks can be set, before anybody is in it (`time_namespaces(7)`).
fn clocks(linux: &Linux, plan: &NamespacePlan) -> Result<String, Error> {
    let fail = |reason: String| Err(Error::invalid("linux.timeOffsets", reason));
    if !linux.time_offsets.is_empty() && !plan.new.contains(Namespaces::TIME) {
        return fail("needs a new time namespace".to_owned());
    }
    let mut text = String::new();
    for (clock, offset) in &linux.time_offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return fail(format!("{clock:?} is not a clock of time namespaces"));
        }
        text.push_str(&format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
    }
    Ok(text)
}

pub(crate) fn kind_of(kind: NamespaceKind) -> Namespaces {
    match kind {
        NamespaceKind::Pid => Namespaces::PID,
        NamespaceKind::Network => Namespaces::NETWORK,
        NamespaceKind::Mount => Namespaces::MOUNT,
        NamespaceKind::Ipc => Namespaces::IPC,
        NamespaceKind::Uts => Namespaces::UTS,
        NamespaceKind::User => Namespaces::USER,
        NamespaceKind::Cgroup => Namespaces::CGROUP,
        NamespaceKind::Time => Namespaces::TIME,
    }
}

fn open(path: &str) -> Result<OwnedFd, Error> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| linux::Error::new("open namespace", path, errno).into())
}

#[cfg(test)]
mod tests {
    use super::{plan, wants_network};
    use linux::process::Namespaces;
    use oci::runtime::{IdMapping, Linux, Namespace, NamespaceKind};

    fn linux(kinds: &[NamespaceKind]) -> Linux {
        let namespaces = kinds.iter().map(|kind| Namespace { kind: *kind, path: None }).collect();
        Linux { namespaces, ..Linux::default() }
    }

    #[test]
    fn new_ones_and_maps() {
        let mut asked = linux(&[NamespaceKind::Mount, NamespaceKind::User]);
        assert!(plan(&asked, None).is_err(), "no maps");
        let mapped = vec![IdMapping { container_id: 0, host_id: 1000, size: 10 }];
        let stray = Linux { uid_mappings: mapped, ..linux(&[NamespaceKind::Mount]) };
        assert!(plan(&stray, None).is_err(), "no user namespace");
        asked.uid_mappings = vec![IdMapping { container_id: 0, host_id: 1000, size: 10 }];
        asked.gid_mappings = asked.uid_mappings.clone();
        let planned = plan(&asked, None).unwrap();
        assert_eq!(planned.new, Namespaces::MOUNT | Namespaces::USER);
        assert_eq!(planned.maps.unwrap().users, "0 1000 10\n");
    }

    #[test]
    fn the_callers_own_by_its_path_is_not_the_containers() {
        let mut asked = linux(&[NamespaceKind::Mount, NamespaceKind::Network]);
        asked.namespaces[1].path = Some("/proc/self/ns/net".to_owned());
        let planned = plan(&asked, None).unwrap();
        assert!(planned.joined.is_empty() && !planned.has(Namespaces::NETWORK));
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        asked.namespaces.pop();
        assert!(!plan(&asked, Some(own.into())).unwrap().has(Namespaces::NETWORK));
    }

    #[test]
    fn a_network_of_ones_own_is_made_beside_unless_a_user_namespace_owns_it() {
        let mut asked = linux(&[NamespaceKind::Mount, NamespaceKind::Network]);
        let planned = plan(&asked, None).unwrap();
        assert!(planned.network_follows && planned.has(Namespaces::NETWORK));
        assert_eq!(planned.new, Namespaces::MOUNT);
        asked.namespaces[1].path = Some("/proc/1/ns/net".to_owned());
        assert!(!wants_network(&asked));
        assert!(!wants_network(&linux(&[NamespaceKind::Network, NamespaceKind::User])));
    }

    #[test]
    fn clocks_need_a_new_time_namespace() {
        let mut asked = linux(&[NamespaceKind::Mount, NamespaceKind::Time]);
        asked.time_offsets =
            serde_json::from_str(r#"{"boottime":{"secs":-5,"nanosecs":7}}"#).unwrap();
        assert_eq!(plan(&asked, None).unwrap().clocks, "boottime -5 7\n");
        asked.namespaces[1].path = Some("/proc/1/ns/time".to_owned());
        assert!(plan(&asked, None).is_err());
        asked.namespaces[1].path = None;
        asked.time_offsets = serde_json::from_str(r#"{"realtime":{"secs":1}}"#).unwrap();
        assert!(plan(&asked, None).is_err());
    }

    #[test]
    fn wrong_ones() {
        assert!(plan(&linux(&[NamespaceKind::Pid]), None).is_err());
        let twice = linux(&[NamespaceKind::Mount, NamespaceKind::Mount]);
        assert!(plan(&twice, None).is_err());
    }
}
