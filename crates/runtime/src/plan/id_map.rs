//! Ids: of the container's user namespace, and of mounts that are to be mapped differently.

use std::os::fd::OwnedFd;

use linux::process::{Namespaces, SingleThreaded};
use oci::runtime::{IdMapping, Mount};

use super::NamespacePlan;
use crate::Error;

/// The text of `uid_map` and `gid_map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMaps {
    /// Users.
    pub users: String,
    /// Groups.
    pub groups: String,
}

impl IdMaps {
    /// Both must be there; `place` says where they stand.
    pub(super) fn of(
        place: &str,
        users: &[IdMapping],
        groups: &[IdMapping],
    ) -> Result<Self, Error> {
        let text = |member: &str, mappings: &[IdMapping]| {
            if mappings.is_empty() {
                return Err(Error::invalid(format!("{place}.{member}"), "there is none"));
            }
            let line =
                |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
            Ok(mappings.iter().map(line).collect())
        };
        Ok(Self { users: text("uidMappings", users)?, groups: text("gidMappings", groups)? })
    }
}

/// Makes the user namespaces that mounts are mapped by, one for all with the same maps.
pub(super) struct IdMapper<'a> {
    token: &'a SingleThreaded,
    container: &'a NamespacePlan,
    made: Vec<(IdMaps, OwnedFd)>,
}

impl<'a> IdMapper<'a> {
    /// For the mounts of a container with these namespaces.
    pub(super) fn new(token: &'a SingleThreaded, container: &'a NamespacePlan) -> Self {
        Self { token, container, made: Vec::new() }
    }

    /// By which namespace a mount is to be mapped: as it says itself, or as the container is.
    pub(super) fn namespace_of(&mut self, mount: &Mount) -> Result<OwnedFd, Error> {
        let place = || format!("mounts: {}", mount.destination);
        if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            return self.of(IdMaps::of(&place(), &mount.uid_mappings, &mount.gid_mappings)?);
        }
        if let Some(maps) = &self.container.maps {
            return self.of(maps.clone());
        }
        let joined = self.container.joined.iter().find(|(kind, _)| *kind == Namespaces::USER);
        match joined {
            Some((_, namespace)) => Ok(crate::copy_of(namespace)?),
            None => Err(Error::invalid(place(), "has no id mappings to be mapped by")),
        }
    }

    fn of(&mut self, maps: IdMaps) -> Result<OwnedFd, Error> {
        if let Some((_, namespace)) = self.made.iter().find(|(known, _)| *known == maps) {
            return Ok(crate::copy_of(namespace)?);
        }
        let namespace = linux::process::new_user_namespace(self.token, &maps.users, &maps.groups)?;
        let answer = crate::copy_of(&namespace)?;
        self.made.push((maps, namespace));
        Ok(answer)
    }
}
