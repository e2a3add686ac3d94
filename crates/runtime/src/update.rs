//! Changing the limits of a container that exists.

use linux::cgroup::{Group, Limits};
use oci::runtime::Resources;

use crate::{Error, plan};

/// Writes the limits that are named; all others stay, and so do the rules of devices, with which engines
/// send the container's whole configuration again.
///
/// # Errors
/// What is wrong with a limit, or what the kernel says of it; those before it hold then.
pub fn update(group: &Group, resources: &Resources) -> Result<(), Error> {
    let limits = plan::limits(resources)?;
    Ok(group.apply(&Limits { devices: Vec::new(), ..limits })?)
}
