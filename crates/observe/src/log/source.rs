//! Lines of one file of a log, compressed or not, as far as they may be wanted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use super::chain::Part;
use super::index::Index;

/// Bytes read at a time.
const PIECE: usize = 64 << 10;

/// A stretch of a file in uncompressed bytes; without an end it goes on as the file grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
}

/// Where in a file to begin.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginning {
    /// An offset at which a line begins.
    pub(super) offset: u64,
    /// Lines to leave out from there.
    pub(super) skip: u64,
}

/// The stretches that can have entries between two times. What the index does not cover can.
pub(super) fn select(
    index: Option<&Index>,
    since: Option<u64>,
    until: Option<u64>,
    from: u64,
) -> VecDeque<Range> {
    let mut ranges: VecDeque<Range> = VecDeque::new();
    let mut start = 0;
    let mut push = |start: u64, end: Option<u64>| match ranges.back_mut() {
        Some(last) if last.end == Some(start) => last.end = end,
        _ => ranges.push_back(Range { start, end }),
    };
    for block in index.iter().flat_map(|index| &index.blocks) {
        let late_enough = since.is_none_or(|since| block.latest >= since);
        let early_enough = until.is_none_or(|until| block.earliest <= until);
        if block.end > from && late_enough && early_enough {
            push(start.max(from), Some(block.end));
        }
        start = block.end;
    }
    push(start.max(from), None);
    ranges
}

/// Reads lines of one file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) generation: Option<u64>,
    input: Input,
    ranges: VecDeque<Range>,
    offset: u64,
    skip: u64,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Input {
    Plain(BufReader<File>),
    Compressed(Box<BufReader<MultiGzDecoder<File>>>),
}

impl Source {
    pub(super) fn new(part: Part, ranges: VecDeque<Range>, skip: u64) -> Self {
        let input = if part.is_compressed {
            let decoder = MultiGzDecoder::new(part.file);
            Input::Compressed(Box::new(BufReader::with_capacity(PIECE, decoder)))
        } else {
            Input::Plain(BufReader::with_capacity(PIECE, part.file))
        };
        Self { generation: part.generation, input, ranges, offset: 0, skip, line: Vec::new() }
    }

    /// The file, when it is one that may still grow.
    pub(super) fn plain_file(&self) -> Option<&File> {
        match &self.input {
            Input::Plain(reader) => Some(reader.get_ref()),
            Input::Compressed(_) => None,
        }
    }

    /// The next whole line; `None` at the (present) end. A half line at the end is read again when
    /// more has come: a writer that could not write all of it cuts it off.
    pub(super) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            let Some(range) = self.ranges.front().copied() else { return Ok(None) };
            if range.end.is_some_and(|end| self.offset >= end) {
                self.ranges.pop_front();
                continue;
            }
            if self.offset < range.start {
                self.go_to(range.start)?;
            }
            self.line.clear();
            let count = match &mut self.input {
                Input::Plain(reader) => reader.read_until(b'\n', &mut self.line)?,
                Input::Compressed(reader) => reader.read_until(b'\n', &mut self.line)?,
            };
            self.offset += count as u64;
            if self.line.last() != Some(&b'\n') {
                self.go_back(count as u64)?;
                return Ok(None);
            }
            if self.skip == 0 {
                return Ok(Some(&self.line));
            }
            self.skip -= 1;
        }
    }

    /// To the end of what is whole: before a half line of so many bytes, and not behind the file's
    /// end, where whole lines may have been cut off, too.
    fn go_back(&mut self, half_line: u64) -> io::Result<()> {
        let Some(file) = self.plain_file() else { return Ok(()) };
        let end = (self.offset - half_line).min(file.metadata()?.len());
        if end == self.offset { Ok(()) } else { self.go_to(end) }
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        self.line.clear();
        match &mut self.input {
            Input::Plain(reader) => {
                reader.seek(SeekFrom::Start(offset))?;
            }
            Input::Compressed(reader) => {
                let distance = offset - self.offset;
                io::copy(&mut reader.by_ref().take(distance), &mut io::sink())?;
            }
        }
        self.offset = offset;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Part, Range, Source, select};
    use crate::log::index::Block;

    #[test]
    fn what_was_cut_off_is_not_waited_for() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let part = Part {
            generation: None,
            file: std::fs::File::open(&path).unwrap(),
            is_compressed: false,
            index: None,
        };
        let ranges = [Range { start: 0, end: None }].into();
        let mut source = Source::new(part, ranges, 0);
        let mut next =
            || source.next_line().unwrap().map(|line| String::from_utf8_lossy(line).into_owned());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!([next(), next(), next(), next()], [some("one\n"), some("two\n"), None, None]);
        let mut file = std::fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b"ee\nfou").unwrap();
        assert_eq!([next(), next()], [some("three\n"), None]);
        // The writer takes back what it could not write to its end.
        file.set_len(4).unwrap();
        assert_eq!(next(), None);
        file.write_all(b"2\n").unwrap();
        assert_eq!([next(), next()], [some("2\n"), None]);
    }

    #[test]
    fn only_what_may_be_in_the_time() {
        let block = |end, earliest, latest| Block { end, lines: 1, earliest, latest };
        let blocks = vec![block(10, 1, 5), block(20, 6, 9), block(30, 3, 12), block(40, 13, 20)];
        let index = Index { generation: 1, blocks };
        let of = |since, until, from| select(Some(&index), since, until, from);
        let range = |start, end| Range { start, end };
        assert_eq!(of(None, None, 0), [range(0, None)]);
        assert_eq!(of(Some(8), None, 0), [range(10, None)]);
        assert_eq!(
            of(None, Some(4), 0),
            [range(0, Some(10)), range(20, Some(30)), range(40, None)]
        );
        assert_eq!(of(Some(100), None, 0), [range(40, None)]);
        assert_eq!(of(None, None, 25), [range(25, None)]);
        assert_eq!(select(None, Some(8), None, 0), [range(0, None)]);
    }
}
