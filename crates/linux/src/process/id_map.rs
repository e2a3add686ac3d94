//! User and group ids of a user namespace.

use std::os::fd::{AsFd, OwnedFd};

use super::{CloneOptions, Namespaces, PidFd, SingleThreaded, clone, exit, open_of};
use crate::Error;

/// Writes the id maps of a process whose user namespace has none yet, in the form of `uid_map` and
/// `gid_map` (`user_namespaces(7)`): lines of first id inside, first id outside, length.
///
/// # Errors
/// What the kernel says: `EPERM` for ids the caller may not give, `EINVAL` for ranges that overlap.
pub fn map_ids(process: &PidFd, users: &str, groups: &str) -> Result<(), Error> {
    for (file, text) in [("uid_map", users), ("gid_map", groups)] {
        let path = format!("/proc/{}/{file}", process.pid().as_raw_nonzero());
        std::fs::write(&path, text).map_err(|error| Error::from_io("write", &path, &error))?;
    }
    Ok(())
}

/// A user namespace with these id maps and nobody in it: what the ids of a mount are mapped by.
///
/// # Errors
/// As [`map_ids`]; `ENOSPC` when there are too many namespaces.
pub fn new_user_namespace(
    token: &SingleThreaded,
    users: &str,
    groups: &str,
) -> Result<OwnedFd, Error> {
    let (waiting, held) =
        std::io::pipe().map_err(|error| Error::from_io("make", "a pipe", &error))?;
    let options = CloneOptions {
        namespaces: Namespaces::USER,
        close_in_child: Some(held.as_fd()),
        ..CloneOptions::default()
    };
    let holder = clone(token, &options, || {
        // Until the other end is closed, if need be by the end of its owner.
        _ = rustix::io::read(&waiting, &mut [0; 1]);
        exit(0)
    })?;
    let namespace =
        map_ids(&holder, users, groups).and_then(|()| open_of(&holder, Namespaces::USER));
    drop(held);
    // It has no more to tell.
    drop(holder.wait());
    namespace
}
