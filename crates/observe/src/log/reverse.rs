//! Where the last lines of a log begin.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;

use super::chain::Part;
use super::source::Beginning;

/// Bytes read at a time.
const PIECE: u64 = 64 << 10;

/// The file and the place in it at which the last `count` lines of all files begin.
pub(super) fn find(parts: &[Part], count: u64) -> io::Result<(usize, Beginning)> {
    let mut wanted = count;
    for (at, part) in parts.iter().enumerate().rev() {
        let found =
            if part.is_compressed { in_compressed(part, wanted)? } else { in_plain(part, wanted)? };
        match found {
            Found::Here(beginning) => return Ok((at, beginning)),
            Found::Before(lines) => wanted -= lines,
        }
    }
    Ok((0, Beginning::default()))
}

enum Found {
    Here(Beginning),
    /// The file has only so many lines.
    Before(u64),
}

/// Reads backwards from the end, counting newlines.
fn in_plain(part: &Part, wanted: u64) -> io::Result<Found> {
    let mut end = part.file.metadata()?.len();
    let mut piece = vec![0; usize::try_from(PIECE.min(end)).unwrap_or(0)];
    // The newline that ends the last line begins no wanted line; a half line after it is no line.
    let mut newlines = 0;
    while end > 0 {
        let length = PIECE.min(end);
        let start = end - length;
        let piece = &mut piece[..usize::try_from(length).unwrap_or(0)];
        part.file.read_exact_at(piece, start)?;
        for at in memory_reverse(piece) {
            if newlines == wanted {
                let offset = start + at as u64 + 1;
                return Ok(Found::Here(Beginning { offset, skip: 0 }));
            }
            newlines += 1;
        }
        end = start;
    }
    Ok(if newlines == wanted && wanted > 0 {
        Found::Here(Beginning::default())
    } else if wanted == 0 {
        Found::Here(Beginning { offset: part.file.metadata()?.len(), skip: 0 })
    } else {
        Found::Before(newlines)
    })
}

/// The places of newlines, the last first.
fn memory_reverse(piece: &[u8]) -> impl Iterator<Item = usize> {
    piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

/// A compressed file is only read forwards: its index says how many lines to leave out, or they are
/// counted.
fn in_compressed(part: &Part, wanted: u64) -> io::Result<Found> {
    let blocks = part.index.as_ref().map(|index| &index.blocks).filter(|all| !all.is_empty());
    let Some(blocks) = blocks else {
        let total = count_lines(&part.file)?;
        return Ok(place(total, wanted));
    };
    let total = blocks.iter().map(|block| block.lines).sum();
    let Found::Here(Beginning { mut skip, .. }) = place(total, wanted) else {
        return Ok(Found::Before(total));
    };
    let mut offset = 0;
    for block in blocks {
        if skip < block.lines {
            break;
        }
        skip -= block.lines;
        offset = block.end;
    }
    Ok(Found::Here(Beginning { offset, skip }))
}

fn place(total: u64, wanted: u64) -> Found {
    match total.checked_sub(wanted) {
        Some(skip) => Found::Here(Beginning { offset: 0, skip }),
        None => Found::Before(total),
    }
}

fn count_lines(file: &File) -> io::Result<u64> {
    let mut reader = BufReader::new(MultiGzDecoder::new(file.try_clone()?));
    let (mut line, mut count) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        count += u64::from(line.last() == Some(&b'\n'));
        line.clear();
    }
    std::io::Seek::rewind(&mut &*file)?;
    Ok(count)
}
