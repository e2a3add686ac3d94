//! Multiplexed streams: `[stream, 0, 0, 0, length (u32, big endian)]` before each piece of output.

/// Bytes of a frame's header.
pub const HEADER: usize = 8;
/// Content type of a stream without frames (a terminal, or an API before 1.42).
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Content type of a stream of frames.
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard input (never sent by a server).
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A failure of the server in the middle of the stream; the payload is its text.
    System,
}

/// The header of a frame with `length` bytes of payload.
#[must_use]
pub fn header(stream: Stream, length: u32) -> [u8; HEADER] {
    let number = match stream {
        Stream::Stdin => 0,
        Stream::Stdout => 1,
        Stream::Stderr => 2,
        Stream::System => 3,
    };
    let [a, b, c, d] = length.to_be_bytes();
    [number, 0, 0, 0, a, b, c, d]
}

/// Takes frames apart as bytes arrive, however they are cut; holds no payload.
///
/// ```
/// # use docker_api::frame::{Decoder, Stream};
/// let mut decoder = Decoder::default();
/// let mut out = Vec::new();
/// decoder.feed(b"\x01\0\0\0\0\0\0\x02hi", |stream, bytes| {
///     assert_eq!(stream, Stream::Stdout);
///     out.extend_from_slice(bytes);
/// });
/// assert_eq!(out, b"hi");
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    header: [u8; HEADER],
    filled: usize,
    remaining: usize,
}

impl Decoder {
    /// Takes the next bytes and calls `each` with every piece of payload in them. An unknown
    /// stream number counts as [`Stream::Stdout`].
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Stream, &[u8])) {
        while !bytes.is_empty() {
            if self.remaining == 0 {
                bytes = self.take_header(bytes);
                continue;
            }
            let (payload, rest) = bytes.split_at(self.remaining.min(bytes.len()));
            self.remaining -= payload.len();
            each(self.stream(), payload);
            bytes = rest;
        }
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (part, rest) = bytes.split_at((HEADER - self.filled).min(bytes.len()));
        if let Some(space) = self.header.get_mut(self.filled..self.filled + part.len()) {
            space.copy_from_slice(part);
        }
        self.filled += part.len();
        if self.filled == HEADER {
            let [.., a, b, c, d] = self.header;
            self.remaining = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(0);
            self.filled = 0;
        }
        rest
    }

    fn stream(&self) -> Stream {
        match self.header.first() {
            Some(0) => Stream::Stdin,
            Some(2) => Stream::Stderr,
            Some(3) => Stream::System,
            _ => Stream::Stdout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Stream, header};

    #[test]
    fn any_cut_gives_the_same_payload() {
        let mut wire = header(Stream::Stdout, 3).to_vec();
        wire.extend_from_slice(b"abc");
        wire.extend_from_slice(&header(Stream::Stderr, 0));
        wire.extend_from_slice(&header(Stream::Stderr, 2));
        wire.extend_from_slice(b"de");
        for size in 1..=wire.len() {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut decoder = Decoder::default();
            for piece in wire.chunks(size) {
                decoder.feed(piece, |stream, bytes| match stream {
                    Stream::Stderr => err.extend_from_slice(bytes),
                    _ => out.extend_from_slice(bytes),
                });
            }
            assert_eq!((out.as_slice(), err.as_slice()), (&b"abc"[..], &b"de"[..]));
        }
    }
}
