//! Labels of the security modules: refused, with the reason, where there is no such module.

use std::fs;

use oci::runtime::{Linux, Process};

use crate::Error;

/// The label of new file systems (`context=`, mount(8)).
///
/// # Errors
/// [`Error::Unsupported`] where the kernel has no `SELinux`.
pub(super) fn of_mounts(linux: &Linux) -> Result<Option<String>, Error> {
    selinux("linux.mountLabel", linux.mount_label.as_deref())
}

/// The label of the process.
///
/// # Errors
/// As [`of_mounts`].
pub(super) fn of_process(process: &Process) -> Result<Option<String>, Error> {
    selinux("process.selinuxLabel", process.selinux_label.as_deref())
}

/// The profile of the process.
///
/// # Errors
/// [`Error::Unsupported`] where the kernel has no `AppArmor`.
pub(super) fn profile_of(process: &Process) -> Result<Option<String>, Error> {
    let Some(profile) = given(process.apparmor_profile.as_deref()) else { return Ok(None) };
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if enabled.is_ok_and(|word| word.starts_with('Y')) {
        return Ok(Some(profile));
    }
    Err(missing("process.apparmorProfile", "AppArmor"))
}

fn selinux(member: &str, label: Option<&str>) -> Result<Option<String>, Error> {
    let Some(label) = given(label) else { return Ok(None) };
    // Its file system is known to the kernel exactly where it was not switched off at the boot.
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.ends_with("\tselinuxfs")) {
        return Ok(Some(label));
    }
    Err(missing(member, "SELinux"))
}

fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn missing(member: &str, module: &str) -> Error {
    Error::unsupported(format!("{member}: this kernel has no {module}, or it is switched off"))
}
