//! As much of protocol buffers as CRIU's messages need: numbers and byte strings, by field number
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// A message being written.
#[derive(Debug, Default, Clone)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// Appends a number: of kinds `uint32`, `bool` and enumerations, and `int32` that is not negative.
    pub(super) fn number(&mut self, field: u32, value: u32) -> &mut Self {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(u64::from(value));
        self
    }

    /// Appends a text.
    pub(super) fn text(&mut self, field: u32, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    /// Appends a message.
    pub(super) fn message(&mut self, field: u32, message: &Self) -> &mut Self {
        self.bytes(field, &message.bytes)
    }

    /// What is to be sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.bytes.extend(bytes);
        self
    }

    /// Seven bits a byte, lowest first; all but the last byte have their highest bit set.
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or_default();
            value >>= 7;
            if value == 0 {
                self.bytes.push(low);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }
}

/// One field that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number; negative ones have their sign extended to 64 bits.
    Number(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message, in order; `None` when it is not well-formed.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Value::Number(take_varint(&mut bytes)?),
            LENGTH => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            FIXED_64 => Value::Bytes(take(&mut bytes, 8)?),
            FIXED_32 => Value::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(bytes, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Message, Value, fields};

    #[test]
    fn the_examples_of_the_specification() {
        // Protocol buffers, "Encoding": `Test1 { a: 150 }`, `Test2 { b: "testing" }`, `Test3 { c: Test1 }`.
        let mut number = Message::default();
        number.number(1, 150);
        assert_eq!(number.as_bytes(), [0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.text(2, "testing");
        assert_eq!(text.as_bytes(), b"\x12\x07testing");
        let mut nested = Message::default();
        nested.message(3, &number);
        assert_eq!(nested.as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut message = Message::default();
        message.number(1, 0).number(64, u32::MAX).text(2, "").text(51, "x");
        let read = fields(message.as_bytes()).unwrap();
        let expected = [
            (1, Value::Number(0)),
            (64, Value::Number(u64::from(u32::MAX))),
            (2, Value::Bytes(b"")),
            (51, Value::Bytes(b"x")),
        ];
        assert_eq!(read, expected);
        // int32 -1
        let minus_one = [0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(fields(&minus_one).unwrap(), [(7, Value::Number(u64::MAX))]);
    }

    #[test]
    fn malformed_ones() {
        for wrong in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 0x05, b'a'],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x80; 12],
            &[0x0b],
            &[0x0d, 1, 2],
        ] {
            assert_eq!(fields(wrong), None, "{wrong:x?}");
        }
    }
}
