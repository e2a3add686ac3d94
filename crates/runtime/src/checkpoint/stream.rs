//! Which of a container's standard streams lead out of it, at the time of its checkpoint.
//!
//! A pipe is the caller's if nobody inside has its other end; a file, if it lies on none of the
//! container's mounts. CRIU cannot make those again: whoever restores gives others in their place.

use std::fs;
use std::path::PathBuf;

use linux::process::Pid;
use rustix::fs::FileType;

/// The names of descriptors 0 to 2 of a process: as CRIU knows them, if they lead outside.
pub(super) fn names(process: Pid, all: &[Pid]) -> Vec<String> {
    let own = process.as_raw_nonzero().get();
    (0..3).map(|number| name(own, number, all).unwrap_or_default()).collect()
}

fn name(process: i32, number: u32, all: &[Pid]) -> Option<String> {
    let link = link_of(process, &number.to_string())?;
    if link.starts_with("pipe:[") {
        let other_end = !may_read(process, &number.to_string())?;
        let is_inside = all.iter().any(|pid| has(pid.as_raw_nonzero().get(), &link, other_end));
        return Some(if is_inside { String::new() } else { link });
    }
    Some(file(process, number).unwrap_or(link))
}

/// CRIU's name of a file or terminal on a mount that is not the container's (criu(8), `--external`).
fn file(process: i32, number: u32) -> Option<String> {
    let mount = entry_of(process, &number.to_string(), "mnt_id:")?.parse::<u64>().ok()?;
    let table = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
    let is_inside = table
        .lines()
        .any(|line| line.split(' ').next().and_then(|id| id.parse().ok()) == Some(mount));
    let status = rustix::fs::stat(format!("/proc/{process}/fd/{number}")).ok()?;
    let kind = FileType::from_raw_mode(status.st_mode);
    match kind {
        _ if is_inside => None,
        FileType::CharacterDevice if is_terminal(status.st_rdev) => {
            Some(format!("tty[{:x}:{:x}]", status.st_rdev, status.st_dev))
        }
        FileType::RegularFile | FileType::CharacterDevice => {
            Some(format!("file[{mount:x}:{:x}]", status.st_ino))
        }
        _ => None,
    }
}

/// Consoles, serial lines, and terminals of windows (Linux, admin-guide/devices.txt).
fn is_terminal(device: u64) -> bool {
    matches!(rustix::fs::major(device), 4 | 5 | 136..=143 | 204 | 229)
}

/// Whether a process has this pipe open, for reading or for writing.
fn has(process: i32, link: &str, for_reading: bool) -> bool {
    let directory = PathBuf::from(format!("/proc/{process}/fd"));
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).any(|number| {
        link_of(process, &number).as_deref() == Some(link)
            && may_read(process, &number) == Some(for_reading)
    })
}

fn link_of(process: i32, number: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/fd/{number}")).ok()?;
    link.into_os_string().into_string().ok()
}

/// From the flags it was opened with, in octal (proc(5), `/proc/PID/fdinfo`).
fn may_read(process: i32, number: &str) -> Option<bool> {
    let flags = u32::from_str_radix(&entry_of(process, number, "flags:")?, 8).ok()?;
    const ACCESS: u32 = 3;
    const WRITE_ONLY: u32 = 1;
    Some(flags & ACCESS != WRITE_ONLY)
}

fn entry_of(process: i32, number: &str, entry: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(entry)?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{has, may_read, name};
    use linux::process::Pid;
    use std::process::Stdio;

    #[test]
    fn a_pipe_leads_outside_if_nobody_inside_has_its_other_end() {
        let mut child = stdx::process::command("/bin/sleep")
            .arg("1000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let inside = [Pid::from_raw(pid).unwrap()];
        let input = name(pid, 0, &inside).unwrap();
        let output = name(pid, 1, &inside).unwrap();
        assert!(input.starts_with("pipe:[") && output.starts_with("pipe:["), "{input} {output}");
        assert_eq!(may_read(pid, "0"), Some(true));
        assert_eq!(may_read(pid, "1"), Some(false));
        assert!(has(own, &input, false) && has(own, &output, true));
        assert!(!has(own, &input, true) && !has(own, &output, false));
        let both = [Pid::from_raw(pid).unwrap(), Pid::from_raw(own).unwrap()];
        assert_eq!(name(pid, 0, &both).as_deref(), Some(""));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
