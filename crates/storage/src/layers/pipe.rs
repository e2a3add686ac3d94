//! Decompression and hashing in one thread, its consumer in another, a few buffers between them.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use oci::Digest;

use crate::ArchiveError;

/// Bytes in a buffer.
const BUFFER: usize = 256 << 10;
/// Buffers between the two threads.
const BUFFERS: usize = 8;

type Result<T> = std::result::Result<T, ArchiveError>;

/// Reads an archive (gzip, zstd or plain), gives it uncompressed to `consume`, and verifies that
/// what went through has the digest `diff_id`. `consume` must read to the end.
pub(super) fn decoded<T>(
    reader: &mut (dyn Read + Send),
    diff_id: &Digest,
    consume: impl FnOnce(Stream) -> Result<T>,
) -> Result<T> {
    let (full, filled) = sync_channel(BUFFERS);
    let (used, empty) = channel();
    thread::scope(|scope| {
        let decoder = thread::Builder::new()
            .name("layer-decode".to_owned())
            .spawn_scoped(scope, move || decode(reader, diff_id, &full, &empty))
            .map_err(|source| ArchiveError::Read { source })?;
        let consumed = consume(Stream { filled, used, buffer: Vec::new(), position: 0 });
        let decoded = match decoder.join() {
            Ok(decoded) => decoded,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        match (decoded, consumed) {
            // The consumer stopped early, for a reason of its own.
            (Ok(None), Err(error)) => Err(error),
            // What the consumer saw was cut off or garbage because of this.
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(error),
            (Ok(have), Ok(value)) => match have {
                Some(have) if have == *diff_id => Ok(value),
                Some(have) => Err(ArchiveError::WrongDigest { want: diff_id.clone(), have }),
                None => Err(ArchiveError::Truncated),
            },
        }
    })
}

/// The digest of everything, or `None` when the consumer went away.
fn decode(
    reader: &mut (dyn Read + Send),
    diff_id: &Digest,
    full: &SyncSender<Vec<u8>>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Option<Digest>> {
    let mut decoder = decoder(reader)?;
    let mut hasher = diff_id.hasher();
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        let length = fill(&mut *decoder, &mut buffer)?;
        if length == 0 {
            return Ok(Some(hasher.finish()));
        }
        buffer.truncate(length);
        hasher.update(&buffer);
        if full.send(buffer).is_err() {
            return Ok(None);
        }
    }
}

/// Whole buffers make for few hand-overs.
fn fill(decoder: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ArchiveError::Truncated);
            }
            Err(source) => return Err(ArchiveError::Read { source }),
        }
    }
    Ok(length)
}

/// Told by the first bytes, not by the media type, which is often wrong.
pub(crate) fn decoder<'a>(reader: &'a mut (dyn Read + Send)) -> Result<Box<dyn Read + 'a>> {
    let mut magic = [0; 6];
    let length = fill(reader, &mut magic)?;
    let magic = magic.get(..length).unwrap_or_default().to_vec();
    let refused = |name| Err(ArchiveError::Compression { name });
    let whole =
        |magic: Vec<u8>| BufReader::with_capacity(BUFFER, io::Cursor::new(magic).chain(reader));
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole(magic))),
        // A frame, or a skippable frame.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(whole(magic));
            Box::new(decoder.map_err(|source| ArchiveError::Read { source })?)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return refused("xz"),
        [b'B', b'Z', b'h', ..] => return refused("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => return refused("lz4"),
        _ => Box::new(whole(magic)),
    })
}

/// The uncompressed archive.
#[derive(Debug)]
pub(super) struct Stream {
    filled: Receiver<Vec<u8>>,
    used: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    position: usize,
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position >= self.buffer.len() {
            let next = self.filled.recv().unwrap_or_default();
            let used = std::mem::replace(&mut self.buffer, next);
            self.position = 0;
            if !used.is_empty() {
                // The decoder is gone when the archive is at its end.
                drop(self.used.send(used));
            }
        }
        Ok(self.buffer.get(self.position..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;
    use crate::ArchiveError;
    use oci::Digest;
    use std::io::{Read, Write};

    fn read(mut bytes: &[u8], diff_id: &Digest) -> Result<Vec<u8>, ArchiveError> {
        decoded(&mut bytes, diff_id, |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map_err(|source| ArchiveError::Read { source })?;
            Ok(all)
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_compression() {
        let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
        let diff_id = Digest::of(&bytes);
        let (front, back) = bytes.split_at(700_001);
        let members = [gzip(front), gzip(back)].concat();
        let zstd = zstd::encode_all(&bytes[..], 1).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9][..], &zstd].concat();
        for encoded in [&bytes, &gzip(&bytes), &members, &zstd, &skippable] {
            assert!(read(encoded, &diff_id).unwrap() == bytes);
        }
        assert!(read(&[], &Digest::of(b"")).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let diff_id = Digest::of(b"hello");
        let gz = gzip(b"hello");
        let truncated = &gz[..gz.len() - 3];
        assert!(matches!(read(truncated, &diff_id), Err(ArchiveError::Truncated)));
        let mut corrupt = gz.clone();
        let position = corrupt.len() - 6;
        corrupt[position] ^= 1;
        assert!(matches!(read(&corrupt, &diff_id), Err(ArchiveError::Read { .. })));
        assert!(matches!(read(b"hallo", &diff_id), Err(ArchiveError::WrongDigest { .. })));
        let xz = b"\xfd7zXZ\0....";
        assert!(matches!(read(xz, &diff_id), Err(ArchiveError::Compression { name: "xz" })));
    }

    #[test]
    fn a_consumer_may_stop() {
        let bytes = vec![7; 30 << 20];
        let result: Result<(), _> =
            decoded(&mut &bytes[..], &Digest::of(b""), |_| Err(ArchiveError::NoSpace));
        assert!(matches!(result, Err(ArchiveError::NoSpace)));
    }
}
