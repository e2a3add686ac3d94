//! How a process ended that is not the caller's child.

use std::os::fd::{AsFd, AsRawFd};

use crate::process::{ExitStatus, PidFd};

/// `struct pidfd_info` of linux/pidfd.h in its first size.
#[repr(C)]
#[derive(Default)]
struct PidfdRecord {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid; real, effective, saved and file-system user and group.
    ids: [u32; 11],
    exit_code: i32,
}

const INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xff, 11, struct pidfd_info)`: both directions, 64 bytes.
const GET_INFO: u32 = 0xc040_ff0b;

/// How a process ended that is readable by its pidfd, whoever's child it is: as the kernel keeps it
/// in the pidfd once it has been reaped, or as its `/proc` entry has it until then. `None` when
/// neither does.
#[must_use]
pub fn read(process: &PidFd) -> Option<ExitStatus> {
    kept(process).or_else(|| zombie(process)).or_else(|| kept(process))
}

fn kept(process: &PidFd) -> Option<ExitStatus> {
    let mut info = PidfdRecord { mask: INFO_EXIT, ..PidfdRecord::default() };
    let fd = process.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most the 64 bytes that the request's number says, and `info`
    // has as many.
    let result = unsafe { libc::ioctl(fd, libc::c_ulong::from(GET_INFO) as _, &raw mut info) };
    (result == 0 && info.mask & INFO_EXIT != 0).then(|| decode(info.exit_code))
}

/// Field 52 of `/proc/PID/stat` (proc(5)), if the number still means this process afterwards.
fn zombie(process: &PidFd) -> Option<ExitStatus> {
    let path = format!("/proc/{}/stat", process.pid().as_raw_nonzero());
    let text = std::fs::read_to_string(path).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace();
    let is_zombie = fields.next() == Some("Z");
    let status = fields.nth(48)?.parse().ok()?;
    (is_zombie && process.signal(0).is_ok()).then(|| decode(status))
}

/// A status as wait(2) gives it.
fn decode(status: i32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code(status >> 8 & 0xff),
        number => ExitStatus::Signal { number, dumped: status & 0x80 != 0 },
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::Pid;

    use super::{PidfdRecord, decode, read};
    use crate::process::{ExitStatus, PidFd};

    #[test]
    fn has_the_kernels_size() {
        assert_eq!(size_of::<PidfdRecord>(), 64);
    }

    #[test]
    fn statuses() {
        assert_eq!(decode(7 << 8), ExitStatus::Code(7));
        assert_eq!(decode(9), ExitStatus::Signal { number: 9, dumped: false });
        assert_eq!(decode(11 | 0x80), ExitStatus::Signal { number: 11, dumped: true });
    }

    #[test]
    fn a_zombie_and_a_reaped_process_tell() {
        let mut child = stdx::process::command("sh").args(["-c", "exit 9"]).spawn().unwrap();
        let process = PidFd::open(Pid::from_child(&child)).unwrap();
        let ended = [PollFd::new(&process, PollFlags::IN)];
        assert_eq!(poll(&mut { ended }, None), Ok(1));
        assert_eq!(read(&process), Some(ExitStatus::Code(9)));
        child.wait().unwrap();
        // Kernels before 6.15 keep nothing.
        assert!(matches!(read(&process), None | Some(ExitStatus::Code(9))));
    }
}
