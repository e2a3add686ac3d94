//! Entry after entry.

use std::io::{self, BufRead, ErrorKind, Read};

use super::header::{self, Header};
use super::pax::Pax;
use super::sparse::{self, MapReader};
use super::{BLOCK, Entry, Kind, MAX_EXTENSION, MAX_NAME, Segment, Time, malformed};
use crate::ArchiveError;

type Result<T> = std::result::Result<T, ArchiveError>;

/// Reads an archive once, from front to back.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes of the archive read so far.
    offset: u64,
    /// Bytes of the present entry's data not read yet.
    remaining: u64,
    /// Bytes between that data and the next header.
    padding: u64,
}

/// What extension headers said about the entry that follows them.
#[derive(Debug, Default)]
struct Extensions {
    any: bool,
    pax: Pax,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// The data of one entry.
#[derive(Debug)]
pub struct Contents<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: BufRead> Read for Contents<'_, R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let (mut filled, limit) = (0, space.len() as u64);
        let mut fill = |piece: &[u8]| {
            let end = filled + piece.len();
            if let Some(space) = space.get_mut(filled..end) {
                space.copy_from_slice(piece);
                filled = end;
            }
            Ok(())
        };
        self.reader.take(limit, &mut fill).map_err(io::Error::other)?;
        Ok(filled)
    }
}

impl<R: BufRead> Reader<R> {
    /// An archive that begins where `input` stands.
    #[must_use]
    pub fn new(input: R) -> Self {
        Self { input, offset: 0, remaining: 0, padding: 0 }
    }

    /// The next entry; what was not read of the present one is skipped. `None` at the end.
    ///
    /// # Errors
    /// When the archive is malformed, truncated or cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let start = self.offset;
            let fail = |reason| malformed(start, reason);
            let Some(block) = self.block()? else {
                return if extensions.any { Err(ArchiveError::Truncated) } else { Ok(None) };
            };
            let Some(header) = Header::read(&block).map_err(fail)? else {
                return if extensions.any {
                    Err(fail("an extension without entry"))
                } else {
                    Ok(None)
                };
            };
            match header.type_flag() {
                b'x' | b'X' => {
                    let bytes = self.extension(&header, MAX_EXTENSION)?;
                    extensions.pax = Pax::parse(&bytes).map_err(fail)?;
                }
                // Global headers carry comments only in practice; Docker ignores them as well.
                b'g' => {
                    self.set_data(header.size().map_err(fail)?);
                    continue;
                }
                b'L' => extensions.path = Some(until_nul(self.extension(&header, MAX_NAME)?)),
                b'K' => extensions.link = Some(until_nul(self.extension(&header, MAX_NAME)?)),
                _ => return self.entry(&header, extensions, start).map(Some),
            }
            extensions.any = true;
        }
    }

    /// The rest of the present entry's data. What is wrong with the archive comes as an
    /// [`io::Error`] around an [`ArchiveError`].
    pub fn contents(&mut self) -> Contents<'_, R> {
        Contents { reader: self }
    }

    /// Gives the rest of the present entry's data to `sink`, piece by piece.
    pub(crate) fn data(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.take(u64::MAX, sink)
    }

    /// Gives the next `limit` bytes of the present entry's data, or as many as there are.
    pub(crate) fn take(
        &mut self,
        limit: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut left = limit.min(self.remaining);
        while left > 0 {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                return Err(ArchiveError::Truncated);
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            sink(buffer.get(..length).unwrap_or_default())?;
            self.consumed(length);
            left -= length as u64;
            self.remaining -= length as u64;
        }
        Ok(())
    }

    /// Reads to the end of the stream, past whatever follows the archive.
    pub(crate) fn drain(mut self) -> Result<()> {
        loop {
            let length = fill(&mut self.input)?.len();
            if length == 0 {
                return Ok(());
            }
            self.consumed(length);
        }
    }

    fn entry(&mut self, header: &Header<'_>, extensions: Extensions, start: u64) -> Result<Entry> {
        let fail = |reason| malformed(start, reason);
        let Extensions { pax, path, link, .. } = extensions;
        let path = path.or_else(|| pax.sparse.name.clone()).or_else(|| pax.path.clone());
        let path = path.unwrap_or_else(|| header.path());
        let kind = header.kind(&path).map_err(fail)?;
        let size = match pax.size {
            Some(size) => size,
            None => header.size().map_err(fail)?,
        };
        let size = if kind == Kind::File { size } else { 0 };
        self.set_data(size);
        let (size, segments) = self.sparse(header, &pax, size, start)?;
        if i64::try_from(size).is_err() {
            return Err(fail("the size is out of range"));
        }
        let id = |id: u64| u32::try_from(id).ok().filter(|&id| id != u32::MAX);
        let owner = |pax: Option<u64>, header: std::result::Result<u64, &'static str>| {
            let number = pax.map_or(header, Ok).map_err(fail)?;
            id(number).ok_or_else(|| fail("the owner is out of range"))
        };
        Ok(Entry {
            kind,
            link: link.or_else(|| pax.link.clone()).unwrap_or_else(|| header.link()),
            mode: header.mode().map_err(fail)?,
            uid: owner(pax.uid, header.uid())?,
            gid: owner(pax.gid, header.gid())?,
            modified: match pax.modified {
                Some(time) => time,
                None => Time { seconds: header.modified().map_err(fail)?, nanoseconds: 0 },
            },
            size,
            segments,
            attributes: pax.attributes,
            path,
        })
    }

    /// The size of the file with its holes, and its map if it is sparse.
    fn sparse(
        &mut self,
        header: &Header<'_>,
        pax: &Pax,
        size: u64,
        start: u64,
    ) -> Result<(u64, Option<Vec<Segment>>)> {
        let fail = |reason| malformed(start, reason);
        let (segments, real) = if header.type_flag() == b'S' {
            if !header.is_gnu() {
                return Err(fail("a sparse file in an archive that is not GNU's"));
            }
            self.gnu_map(header, start)?
        } else if pax.sparse.version == (1, 0) {
            let real = pax.sparse.size.ok_or_else(|| fail("a sparse file without size"))?;
            (self.map_in_data(start)?, real)
        } else if let Some(segments) = &pax.sparse.segments {
            let real = pax.sparse.size.ok_or_else(|| fail("a sparse file without size"))?;
            (segments.clone(), real)
        } else if pax.sparse.version == (0, 0) {
            return Ok((size, None));
        } else {
            return Err(fail("a sparse file of unknown version"));
        };
        let segments = sparse::check(segments, real, self.remaining).map_err(fail)?;
        Ok((real, Some(segments)))
    }

    fn gnu_map(&mut self, header: &Header<'_>, start: u64) -> Result<(Vec<Segment>, u64)> {
        let fail = |reason| malformed(start, reason);
        let (mut segments, mut more, size) = header.sparse().map_err(fail)?;
        while more {
            let block = self.block()?.ok_or(ArchiveError::Truncated)?;
            segments.extend(header::segments(&block[..504]).map_err(fail)?);
            more = block[504] != 0;
            if segments.len() as u64 > MAX_EXTENSION / 24 {
                return Err(fail("the sparse map is too long"));
            }
        }
        Ok((segments, size))
    }

    fn map_in_data(&mut self, start: u64) -> Result<Vec<Segment>> {
        let fail = |reason| malformed(start, reason);
        let mut map = MapReader::default();
        for _ in 0..MAX_EXTENSION / 512 {
            if self.remaining < BLOCK as u64 {
                return Err(fail("the sparse map is malformed"));
            }
            let block = self.block()?.ok_or(ArchiveError::Truncated)?;
            self.remaining -= BLOCK as u64;
            if map.push(&block).map_err(fail)? {
                return Ok(map.finish());
            }
        }
        Err(fail("the sparse map is too long"))
    }

    /// The whole data of an extension header.
    fn extension(&mut self, header: &Header<'_>, limit: u64) -> Result<Vec<u8>> {
        let start = self.offset;
        let size = header.size().map_err(|reason| malformed(start, reason))?;
        if size > limit {
            return Err(malformed(start, "an extension header is too long"));
        }
        self.set_data(size);
        let mut bytes = Vec::new();
        self.data(&mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    const fn set_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<()> {
        self.take(u64::MAX, &mut |_| Ok(()))?;
        self.remaining = std::mem::take(&mut self.padding);
        self.take(u64::MAX, &mut |_| Ok(()))
    }

    /// One block; `None` at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(ArchiveError::Truncated) };
            }
            let length = buffer.len().min(BLOCK - filled);
            block[filled..filled + length].copy_from_slice(&buffer[..length]);
            self.consumed(length);
            filled += length;
        }
        Ok(Some(block))
    }

    fn consumed(&mut self, length: usize) {
        self.input.consume(length);
        self.offset += length as u64;
    }
}

fn fill(input: &mut impl BufRead) -> Result<&[u8]> {
    // The borrow of a buffer cannot be returned from a loop that retries, hence two calls.
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(ArchiveError::Read { source }),
        }
    }
    input.fill_buf().map_err(|source| ArchiveError::Read { source })
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
