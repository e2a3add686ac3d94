//! How the kernel schedules a thread.

use rustix::io::Errno;

use crate::Error;

/// Tells the kernel that the calling thread does work nobody waits for: waking it does not
/// interrupt the thread that woke it. Its share of the processor stays the same, so that it does
/// not sit on the kernel's locks (`SCHED_BATCH`, sched(7)).
///
/// # Errors
/// When the process may not change its scheduling.
pub fn set_thread_to_batch() -> Result<(), Error> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; the parameters outlive the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
    if result == 0 {
        return Ok(());
    }
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::PERM);
    Err(Error::new("schedule", "thread", errno))
}
