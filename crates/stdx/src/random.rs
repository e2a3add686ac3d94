//! Random bytes and ids from the kernel.

/// `N` random bytes from getrandom(2).
///
/// # Panics
/// Only if the kernel has no random source, which no supported kernel lacks.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    // The system call itself: the `getrandom` crate, linked statically, falls back to a descriptor
    // of `/dev/urandom` that it keeps, which a forked child that closes what it inherits would lose.
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = &mut bytes[filled..];
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut *rest, flags))
            .expect("the kernel has a random source");
    }
    bytes
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
