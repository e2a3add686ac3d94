//! Whose directories these are. `--root` may name any place, and others use names like `run` and
//! `data` too: nothing is written into, given a mode or removed from a directory that is not ours.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::{Error, Layout, Result};

/// What may be in a data directory before it has an instance: the lock, the log of a daemon that
/// has only just started, and what a file system has at its root.
const DATA_BEGUN: &[&str] = &["lock", "daemon.log", "daemon.log.1", "lost+found"];

/// What may be in a run directory before it has a boot.
const RUN_BEGUN: &[&str] = &["start.lock"];

/// What a boot leaves in a run directory.
const RUN_LEFT: &[&str] = &["brig-init", "brig.sock", "containers", "daemon.pid", "records"];

/// Refuses directories that somebody else has filled. A data directory is ours once it has an
/// instance; a run directory when it belongs to such a data directory or has a boot.
pub(crate) fn check(layout: &Layout) -> Result<()> {
    let known = has(&layout.data.join("instance"), is_instance);
    if !known {
        refuse_strangers(&layout.data, DATA_BEGUN, ".instance.")?;
    }
    if known || has(&layout.run.join("boot"), is_boot) {
        return Ok(());
    }
    refuse_strangers(&layout.run, RUN_BEGUN, ".boot.")
}

/// Whether a text is an instance's id.
pub(crate) fn is_instance(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether an earlier boot's leftover of this name is ours to remove from the run directory.
pub(crate) fn is_left_by_a_boot(name: &str) -> bool {
    // Files being written have a dot before their name.
    let written = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.'));
    let whole = |name: &str| RUN_LEFT.contains(&name);
    whole(name)
        || written.is_some_and(|(rest, end)| {
            whole(rest)
                || end == "tmp" && rest.rsplit_once('.').is_some_and(|(rest, _)| whole(rest))
        })
}

/// Whether a text is a boot's id (random(4)).
fn is_boot(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn has(path: &Path, is_right: fn(&str) -> bool) -> bool {
    fs::read_to_string(path).is_ok_and(|text| is_right(text.trim()))
}

/// `begun` are the names of ours; `writing` is how files begin that a crash kept from their name.
fn refuse_strangers(directory: &Path, begun: &[&str], writing: &str) -> Result<()> {
    let failed = |source| Error::io("read", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let is_ours = |name: &OsString| {
        name.to_str().is_some_and(|name| begun.contains(&name) || name.starts_with(writing))
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if !is_ours(&name) {
            let (directory, name) = (directory.to_owned(), name.to_string_lossy().into_owned());
            return Err(Error::Foreign { directory, name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::is_left_by_a_boot;

    #[test]
    fn only_names_of_ours_are_removed() {
        for name in
            ["records", "containers", "brig.sock", ".daemon.pid.0a1b2c3d.tmp", ".brig-init.77"]
        {
            assert!(is_left_by_a_boot(name), "{name}");
        }
        for name in ["start.lock", "dbus", "sshd.pid", ".hidden", ".a.tmp", ".x.records.tmp.tmp"] {
            assert!(!is_left_by_a_boot(name), "{name}");
        }
    }
}
