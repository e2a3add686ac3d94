//! Reading attributes: type, length, value; nested ones are attributes in a value.

/// The attributes in a piece of a message, in order. Stops at the first malformed one.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

/// Without the bits for nesting and byte order.
const KIND_MASK: u16 = 0x3fff;

impl<'a> Attributes<'a> {
    /// Reads the attributes in `bytes`.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The value of the first attribute of this kind.
    #[must_use]
    pub fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        self.by_ref().find_map(|(found, value)| (found == kind).then_some(value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_of(self.rest)?);
        let kind = u16_of(self.rest.get(2..)?)? & KIND_MASK;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A 16-bit number in the machine's byte order.
#[must_use]
pub fn u16_of(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// A 32-bit number in the machine's byte order.
#[must_use]
pub fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A text up to its NUL.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_read_in_order() {
        let bytes = [6, 0, 1, 0, b'h', b'i', 0, 0, 5, 0, 2, 0x80, 9, 0, 0, 0];
        let read: Vec<_> = Attributes::of(&bytes).collect();
        assert_eq!(read, [(1, b"hi".as_slice()), (2, [9].as_slice())]);
        assert_eq!(Attributes::of(&bytes).find(2), Some([9].as_slice()));
    }

    proptest! {
        #[test]
        fn anything_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Attributes::of(&bytes).count() <= bytes.len());
        }
    }
}
