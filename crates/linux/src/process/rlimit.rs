//! Resource limits of the calling process (getrlimit(2)).

use rustix::process::Rlimit;

use crate::Error;

/// What can be limited; the same as the kernel's `RLIMIT_…`.
pub use rustix::process::Resource;

/// Soft and hard limit of the calling process; `None` is no limit.
#[must_use]
pub fn resource_limit(resource: Resource) -> (Option<u64>, Option<u64>) {
    let limit = rustix::process::getrlimit(resource);
    (limit.current, limit.maximum)
}

/// Sets soft and hard limit; `None` is no limit.
///
/// # Errors
/// `EPERM` when the hard limit would grow and the process lacks `CAP_SYS_RESOURCE`, `EINVAL` when
/// the soft limit is above the hard one.
pub fn set_resource_limit(
    resource: Resource,
    soft: Option<u64>,
    hard: Option<u64>,
) -> Result<(), Error> {
    rustix::process::setrlimit(resource, Rlimit { current: soft, maximum: hard })
        .map_err(|errno| Error::new("set resource limit", format!("{resource:?}"), errno))
}
