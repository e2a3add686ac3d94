//! User, groups and capabilities of the calling process.

use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::Error;
use crate::capability::{self, Sets};

/// Who a process is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub user: u32,
    /// Real, effective and saved group.
    pub group: u32,
    /// Supplementary groups.
    pub additional_groups: Vec<u32>,
    /// Capabilities, none of which is kept from before.
    pub capabilities: Sets,
}

/// Becomes these credentials: first the bounding set shrinks, then groups, group and user change
/// while the permitted set is kept, then the capability sets are set.
///
/// # Errors
/// `EINVAL` for the id that means "no change"; otherwise what the kernel says.
pub fn set_credentials(credentials: &Credentials) -> Result<(), Error> {
    capability::drop_bounding(credentials.capabilities.bounding)?;
    set_keep_capabilities(true).map_err(|errno| Error::new("keep", "capabilities", errno))?;
    set_groups(&credentials.additional_groups)?;
    set_identity(credentials.user, credentials.group)?;
    set_keep_capabilities(false).map_err(|errno| Error::new("keep", "capabilities", errno))?;
    capability::set(&credentials.capabilities)
}

/// Sets real, effective and saved group, then user.
///
/// # Errors
/// `EINVAL` for the id that means "no change"; otherwise what the kernel says.
pub fn set_identity(user: u32, group: u32) -> Result<(), Error> {
    if user == u32::MAX || group == u32::MAX {
        return Err(Error::new("set user and group", format!("{user}:{group}"), Errno::INVAL));
    }
    let gid = Gid::from_raw(group);
    set_thread_res_gid(gid, gid, gid).map_err(|errno| Error::new("set group", group, errno))?;
    let uid = Uid::from_raw(user);
    set_thread_res_uid(uid, uid, uid).map_err(|errno| Error::new("set user", user, errno))
}

/// Sets the supplementary groups. In a user namespace that denies `setgroups` an empty list is no
/// error.
///
/// # Errors
/// What the kernel says.
pub fn set_groups(groups: &[u32]) -> Result<(), Error> {
    let ids: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    match set_thread_groups(&ids) {
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        other => other.map_err(|errno| Error::new("set", "supplementary groups", errno)),
    }
}
