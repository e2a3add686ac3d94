//! Random bytes and ids from the kernel.

use std::fs::File;
use std::io::Read;

/// `N` random bytes from getrandom(2), or from `/dev/urandom` where a sandbox hides that call.
///
/// # Panics
/// Only if there is neither, which no supported system lacks.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if fill(&mut bytes).is_err() {
        // Opened for this once: the `getrandom` crate, linked statically, keeps the descriptor, which
        // a forked child that closes what it inherits would lose.
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .expect("the kernel has a random source");
    }
    bytes
}

fn fill(bytes: &mut [u8]) -> rustix::io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut *rest, flags))?;
    }
    Ok(())
}

/// 64 hexadecimal digits: the id of a container, an exec or a network.
///
/// An id never consists of decimal digits alone in its first twelve places, so that no tool takes
/// the short form for a number.
#[must_use]
pub fn hex_id() -> String {
    loop {
        let id = crate::hex::encode(&bytes::<32>());
        if id.bytes().take(12).any(|digit| digit.is_ascii_alphabetic()) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_are_long_and_differ() {
        let id = super::hex_id();
        assert_eq!(id.len(), 64);
        assert_ne!(id, super::hex_id());
    }
}
