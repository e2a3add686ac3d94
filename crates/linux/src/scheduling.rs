//! How the kernel schedules a thread (sched(7)): policy, input and output, processors, memory nodes.

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Error;

/// Tells the kernel that the calling thread does work nobody waits for: waking it does not
/// interrupt the thread that woke it. Its share of the processor stays the same, so that it does
/// not sit on the kernel's locks (`SCHED_BATCH`, sched(7)).
///
/// # Errors
/// When the process may not change its scheduling.
pub fn set_thread_to_batch() -> Result<(), Error> {
    const KEEP_PARAMETERS: u64 = 0x10;
    let policy = Policy::BATCH;
    set_policy(&Policy { policy, flags: KEEP_PARAMETERS, ..Policy::default() })
}

/// How a thread gets its time: the kernel's `struct sched_attr` (`sched_setattr(2)`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// One of the constants.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// -20 to 19, for [`Self::OTHER`] and [`Self::BATCH`].
    pub nice: i32,
    /// 1 to 99, for [`Self::FIFO`] and [`Self::ROUND_ROBIN`].
    pub priority: u32,
    /// Nanoseconds of each period, for [`Self::DEADLINE`].
    pub runtime: u64,
    /// Nanoseconds from the beginning of a period by which it has had them.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

impl Policy {
    /// `SCHED_OTHER`.
    pub const OTHER: u32 = 0;
    /// `SCHED_FIFO`.
    pub const FIFO: u32 = 1;
    /// `SCHED_RR`.
    pub const ROUND_ROBIN: u32 = 2;
    /// `SCHED_BATCH`.
    pub const BATCH: u32 = 3;
    /// `SCHED_ISO`, which no kernel of today has.
    pub const ISOCHRONOUS: u32 = 4;
    /// `SCHED_IDLE`.
    pub const IDLE: u32 = 5;
    /// `SCHED_DEADLINE`.
    pub const DEADLINE: u32 = 6;
}

/// `struct sched_attr` of Linux 5.3 and later (linux/sched/types.h).
#[repr(C)]
struct KernelPolicy {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    clamp_least: u32,
    clamp_most: u32,
}

/// Sets how the calling thread, and those it makes, get their time.
///
/// # Errors
/// `EPERM` for what needs `CAP_SYS_NICE`, `EINVAL` for a policy or value the kernel does not know,
/// `EBUSY` when there is not that much time.
pub fn set_policy(policy: &Policy) -> Result<(), Error> {
    let Policy { policy, flags, nice, priority, runtime, deadline, period } = *policy;
    let size = u32::try_from(size_of::<KernelPolicy>()).unwrap_or(0);
    let (clamp_least, clamp_most) = (0, 0);
    let wanted = KernelPolicy {
        size,
        policy,
        flags,
        nice,
        priority,
        runtime,
        deadline,
        period,
        clamp_least,
        clamp_most,
    };
    // SAFETY: 0 is the calling thread; the structure says its size and outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    done(result, "set", "scheduling policy")
}

/// Sets the priority of the calling thread's input and output: class 1 (real-time), 2 (best
/// effort) or 3 (idle), level 0 (first) to 7 (`ioprio_set(2)`).
///
/// # Errors
/// `EPERM` for what needs a capability, `EINVAL` for a class or level that is none.
pub fn set_io_priority(class: u32, level: u32) -> Result<(), Error> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let priority = class << CLASS_SHIFT | level;
    // SAFETY: three numbers are passed, no memory; 0 is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) };
    done(result, "set", "I/O priority")
}

/// Lets the calling thread run on these processors only.
///
/// # Errors
/// `EINVAL` when none of them is there, or may be used.
pub fn set_processors(processors: &[usize]) -> Result<(), Error> {
    let mut set = CpuSet::new();
    for &processor in processors.iter().filter(|processor| **processor < CpuSet::MAX_CPU) {
        set.set(processor);
    }
    sched_setaffinity(None, &set).map_err(|errno| Error::new("set", "CPU affinity", errno))
}

/// Sets where the calling thread's memory comes from: a mode with its flags, and memory nodes
/// (`set_mempolicy(2)`).
///
/// # Errors
/// `EINVAL` when mode and nodes do not go together, or none of the nodes is there; `ENOSYS` on a
/// kernel without memory nodes.
pub fn set_memory_policy(mode: u32, nodes: &[usize]) -> Result<(), Error> {
    const BITS: usize = libc::c_ulong::BITS as usize;
    let last = nodes.iter().copied().max();
    let mut mask: Vec<libc::c_ulong> = vec![0; last.map_or(0, |last| last / BITS + 1)];
    for node in nodes {
        if let Some(word) = mask.get_mut(node / BITS) {
            *word |= 1 << (node % BITS);
        }
    }
    // The kernel takes one bit less than it is told.
    let bits = if mask.is_empty() { 0 } else { mask.len() * BITS + 1 };
    let words = if mask.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // SAFETY: the mask has as many bits as are told, less the one the kernel does not read, and
    // outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, words, bits) };
    done(result, "set", "memory policy")
}

fn done(result: libc::c_long, operation: &'static str, object: &'static str) -> Result<(), Error> {
    if result != -1 {
        return Ok(());
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::PERM);
    Err(Error::new(operation, object, errno))
}
