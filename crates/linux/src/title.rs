//! What a process is called.

use std::ffi::CString;

use rustix::io::Errno;

use crate::Error;

/// Shows `title` as the process's name (its first 15 bytes) and as its command line, where it is
/// cut to the length of the arguments the program was started with. Forked children show it, too,
/// until they set another or execute.
///
/// # Errors
/// When procfs is not mounted, or the title has a zero byte.
pub fn set(_token: &crate::process::SingleThreaded, title: &str) -> Result<(), Error> {
    let refuse = |errno| Error::new("set the process title", title, errno);
    let name: Vec<u8> = title.bytes().take(15).collect();
    let name = CString::new(name).map_err(|_| refuse(Errno::INVAL))?;
    rustix::thread::set_name(&name).map_err(refuse)?;
    let status = std::fs::read_to_string("/proc/self/stat")
        .map_err(|error| Error::from_io("read", "/proc/self/stat", &error))?;
    // proc_pid_stat(5): fields 48 and 49, counted after the name in parentheses, which is field 2.
    let after_name = status.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut addresses =
        after_name.split(' ').skip(45).take(2).filter_map(|field| field.parse::<usize>().ok());
    let (Some(start), Some(end)) = (addresses.next(), addresses.next()) else {
        return Err(refuse(Errno::NOTSUP));
    };
    let Some(space) = end.checked_sub(start).filter(|_| start != 0) else { return Ok(()) };
    let length = title.len().min(space.saturating_sub(1));
    let arguments: *mut u8 = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the kernel says that these are the bytes of the program's arguments, which lie on the
    // stack below everything else. The one thread there is (the token) does not read them now: the
    // standard library makes copies when it is asked for arguments.
    unsafe { std::ptr::write_bytes(arguments, 0, space) };
    // SAFETY: as above, and `length` is less than `space`.
    unsafe { std::ptr::copy_nonoverlapping(title.as_ptr(), arguments, length) };
    Ok(())
}
