//! Writing messages.

use std::ops::BitOr;

use super::HEADER;

/// Bits of a message's header beyond `NLM_F_REQUEST`, which every message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// All objects instead of one.
    pub const DUMP: Self = Self(0x300);
    /// Replace an existing object.
    pub const REPLACE: Self = Self(0x100);
    /// Fail if the object exists.
    pub const EXCLUSIVE: Self = Self(0x200);
    /// Create the object if it does not exist.
    pub const CREATE: Self = Self(0x400);
    /// Add at the end of a list.
    pub const APPEND: Self = Self(0x800);
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const FLAG_REQUEST: u16 = 1;
const FLAG_ACKNOWLEDGE: u16 = 4;
const NESTED: u16 = 0x8000;
/// Attribute header: length and type.
const ATTRIBUTE: usize = 4;

#[derive(Debug, Clone)]
struct Start {
    offset: usize,
    operation: &'static str,
}

/// Messages to be sent by one call. Every message names its operation for errors.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<Start>,
    transaction: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a message; what follows up to the next one belongs to it. `header` is the fixed part
    /// that the subsystem puts before the attributes, a multiple of four bytes.
    pub fn message(&mut self, operation: &'static str, kind: u16, flags: Flags, header: &[u8]) {
        self.starts.push(Start { offset: self.bytes.len(), operation });
        // Length, sequence number and port are filled in by `finish`, or are zero.
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags.0 | FLAG_REQUEST).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(header);
    }

    /// Appends an attribute.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.close(start);
    }

    /// Appends a text with its NUL.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// Appends a byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Appends a number in the machine's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a number in network byte order.
    pub fn u32_be(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends an attribute that contains what `content` appends.
    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        self.nest_with(kind, &[], content);
    }

    /// As [`Self::nest`], with a fixed part before the inner attributes.
    pub fn nest_with(&mut self, kind: u16, header: &[u8], content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        self.bytes.extend(header);
        content(self);
        self.close(start);
    }

    /// How many bytes were written.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it contains no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.starts.len()).expect("a batch has fewer than 2^32 messages")
    }

    /// Marks the batch as one transaction: its first and last messages are brackets.
    pub(crate) fn set_transaction(&mut self) {
        self.transaction = true;
    }

    pub(crate) const fn transaction(&self) -> bool {
        self.transaction
    }

    /// Which message asks for an answer: the last, but not a closing bracket.
    pub(crate) fn acknowledged(&self) -> u32 {
        self.count().saturating_sub(if self.transaction { 2 } else { 1 })
    }

    pub(crate) fn operation(&self, index: u32) -> &'static str {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.starts.get(index).map_or("change", |start| start.operation)
    }

    /// Fills in lengths and sequence numbers, the first message's being `first`.
    pub(crate) fn finish(&mut self, first: u32) -> &[u8] {
        let acknowledged = self.acknowledged();
        let ends = self.starts.iter().skip(1).map(|start| start.offset).chain([self.bytes.len()]);
        for ((index, start), end) in (0_u32..).zip(&self.starts).zip(ends) {
            let Some(header) = self.bytes.get_mut(start.offset..start.offset + HEADER) else {
                continue;
            };
            let length = u32::try_from(end - start.offset).expect("a message is below 4 GiB");
            let flag = if index == acknowledged { FLAG_ACKNOWLEDGE.to_ne_bytes() } else { [0; 2] };
            put(header, 0, &length.to_ne_bytes());
            put(header, 8, &first.wrapping_add(index).to_ne_bytes());
            for (byte, bits) in header.iter_mut().skip(6).zip(flag) {
                *byte |= bits;
            }
        }
        &self.bytes
    }

    fn close(&mut self, start: usize) {
        let length = self.bytes.len() - start;
        debug_assert!(length >= ATTRIBUTE, "an attribute has a header");
        let length = u16::try_from(length).expect("an attribute is below 64 KiB");
        put(&mut self.bytes, start, &length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn put(target: &mut [u8], offset: usize, value: &[u8]) {
    for (byte, new) in target.iter_mut().skip(offset).zip(value) {
        *byte = *new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sequence_numbers_are_filled_in() {
        let mut batch = Batch::new();
        batch.message("add", 16, Flags::CREATE, &[7; 4]);
        batch.nest(2, |batch| batch.text(1, "lo"));
        batch.message("delete", 17, Flags::NONE, &[]);
        let bytes = batch.finish(5).to_vec();
        #[rustfmt::skip]
        let expected = [
            32, 0, 0, 0, 16, 0, 1, 4, 5, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7,
            12, 0, 2, 0x80, 7, 0, 1, 0, b'l', b'o', 0, 0,
            16, 0, 0, 0, 17, 0, 5, 0, 6, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes, expected);
    }
}
