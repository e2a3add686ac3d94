//! Making the kernel notice at once that a link works.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::Socket;
use crate::Error;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    value: u32,
}

/// `struct ifreq`, with the variant that ethtool uses.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: *mut Value,
    /// The kernel copies the whole union.
    rest: [u8; 16],
}

const GET_LINK: u32 = 0x0a;

impl Socket {
    /// Whether a link has a carrier. As a side effect, which is what it is for, the kernel works
    /// off a change of the carrier that it would otherwise get round to later: until then it drops
    /// what is sent to the link, and a bridge does not forward to it.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn settle(&self, name: &str) -> Result<bool, Error> {
        let mut value = Value { command: GET_LINK, value: 0 };
        let mut request =
            Request { name: [0; libc::IFNAMSIZ], value: &raw mut value, rest: [0; 16] };
        for (target, byte) in request.name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
            *target = byte;
        }
        let descriptor = self.netlink.as_fd().as_raw_fd();
        // SAFETY: the request has at least the size of `struct ifreq`; it and the value it points
        // to outlive the call.
        let result = unsafe { libc::ioctl(descriptor, libc::SIOCETHTOOL, &raw mut request) };
        if result == 0 {
            return Ok(value.value != 0);
        }
        let error = std::io::Error::last_os_error();
        Err(Error::new("read carrier of", name, Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }
}
