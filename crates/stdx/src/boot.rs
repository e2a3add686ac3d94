//! Which boot of the kernel this is.

use std::{fs, io};

/// The kernel's random boot id (random(4), `/proc/sys/kernel/random/boot_id`): run-time state
/// written under another id is from before a reboot.
///
/// # Errors
/// When procfs is not mounted.
pub fn id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
