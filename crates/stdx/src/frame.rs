//! Length-prefixed frames over a byte stream: a little-endian `u32` length, then that many bytes.

use std::io::{self, Write};

/// The longest frame taken from a peer, in bytes: above the kernel's limit for arguments and
/// environment (2 MiB), so that any launch fits, and small enough that a hostile length is harmless.
pub const MAX_LENGTH: usize = 8 << 20;

/// Bytes of the length prefix.
pub const PREFIX: usize = 4;

/// The frame of `payload` as one buffer, to be written in one call.
///
/// # Errors
/// `InvalidInput` when the payload is longer than [`MAX_LENGTH`].
pub fn encode(payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_LENGTH)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too long"))?;
    let mut frame = Vec::with_capacity(PREFIX + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// Writes one frame.
///
/// # Errors
/// As [`encode`] and `Write::write_all`.
pub fn write(writer: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    writer.write_all(&encode(payload)?)
}

/// Collects bytes as they arrive and gives back whole frames; does no I/O of its own, so it serves
/// blocking, non-blocking and asynchronous readers alike.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    consumed: usize,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// `InvalidData` when the peer announces more than [`MAX_LENGTH`]; the stream is then useless.
    pub fn next_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let pending = &self.buffer[self.consumed..];
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > MAX_LENGTH {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let payload = payload.to_vec();
        self.consumed += PREFIX + length;
        Ok(Some(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, encode};

    #[test]
    fn frames_survive_any_split() {
        let mut stream = encode(b"first").unwrap();
        stream.extend(encode(b"").unwrap());
        stream.extend(encode(b"second").unwrap());
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        for byte in stream {
            decoder.push(&[byte]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames, [b"first".to_vec(), Vec::new(), b"second".to_vec()]);
    }

    #[test]
    fn a_hostile_length_is_refused() {
        let mut decoder = Decoder::new();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(decoder.next_frame().is_err());
    }
}
