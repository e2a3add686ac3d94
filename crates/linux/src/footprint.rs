//! Memory that a small resident process does not need while it sleeps.

use crate::process::SingleThreaded;

/// Kept below the caller's frame: its own later calls, a signal's frame, the red zone.
const MARGIN: usize = 16 << 10;

/// The unit in which the kernel takes memory back, on any page size.
const PAGE: usize = 64 << 10;

/// Gives free memory of the allocator, and of the stack below the caller, back to the kernel.
///
/// The token says that the caller runs on the process's first stack.
pub fn trim(_token: &SingleThreaded) {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; it locks the allocator itself.
    unsafe {
        libc::malloc_trim(0);
    }
    trim_stack();
}

#[inline(never)]
fn trim_stack() {
    let here = std::ptr::from_ref(&std::hint::black_box(0_u8)).addr();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = maps.lines().find(|line| line.ends_with("[stack]")).and_then(|line| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (start..end).contains(&here).then_some(start)
    });
    let Some(start) = range else { return };
    // A mapping begins at a page. Down to whole units: less is given back than could be, never more.
    let last = here.saturating_sub(MARGIN) / PAGE * PAGE;
    if last > start {
        let address: *mut libc::c_void = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range belongs to this thread's stack and lies wholly below all its live
        // frames: nothing there will be read before it is written again.
        unsafe { libc::madvise(address, last - start, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn another_stack_is_left_alone() {
        // Tests run in threads, whose stacks are not the one looked for.
        super::trim_stack();
    }
}
