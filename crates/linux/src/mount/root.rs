//! Changing a mount namespace's root, and how its mounts spread.

use std::os::fd::AsFd;

use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

use super::Propagation;
use crate::Error;

/// Changes how the mount at `path`, with `recursive` all below it, spreads.
///
/// # Errors
/// What the kernel says.
pub fn change_propagation(
    path: &str,
    propagation: Propagation,
    recursive: bool,
) -> Result<(), Error> {
    let bits = u32::try_from(propagation.bits()).unwrap_or(0);
    let mut flags = MountPropagationFlags::from_bits_retain(bits);
    if recursive {
        flags |= MountPropagationFlags::REC;
    }
    mount_change(path, flags).map_err(|errno| Error::new("change propagation of", path, errno))
}

/// Makes an attached mount the root of this mount namespace and lets go of the old root with
/// everything below it. The calling process is then in the new root directory.
///
/// # Errors
/// `EINVAL` when the present root is the kernel's initial ramfs or no mount point.
pub fn pivot_root(new_root: impl AsFd) -> Result<(), Error> {
    let fail = |operation| move |errno| Error::new(operation, "the new root", errno);
    rustix::process::fchdir(new_root).map_err(fail("enter"))?;
    // The old root comes to lie on top of the new one, where it is the first to be taken away.
    rustix::process::pivot_root(".", ".").map_err(fail("pivot to"))?;
    unmount(".", UnmountFlags::DETACH).map_err(fail("unmount what was below"))?;
    rustix::process::chdir("/").map_err(fail("enter"))
}
