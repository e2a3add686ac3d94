//! Which bytes of a sparse file are in the archive.

use super::Segment;
use super::pax::decimal;

type Result<T> = std::result::Result<T, &'static str>;

/// Refuses maps that overlap, go backwards, reach past the file's end, or do not add up to the data
/// in the archive; leaves out empty segments.
pub(super) fn check(segments: Vec<Segment>, size: u64, stored: u64) -> Result<Vec<Segment>> {
    const WRONG: &str = "the sparse map does not fit the file";
    let (mut end, mut total) = (0_u64, 0_u64);
    for segment in &segments {
        if segment.offset < end {
            return Err(WRONG);
        }
        end = segment.offset.checked_add(segment.length).filter(|&end| end <= size).ok_or(WRONG)?;
        total += segment.length;
    }
    if total != stored {
        return Err(WRONG);
    }
    Ok(segments.into_iter().filter(|segment| segment.length > 0).collect())
}

/// Reads the map at the beginning of a file's data in pax form 1.0: decimal lines, the first says
/// how many segments follow, filled up to a block with NULs.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    line: Vec<u8>,
    numbers: Vec<u64>,
    count: Option<u64>,
}

impl MapReader {
    /// Takes one more block; says whether the map is complete.
    pub(super) fn push(&mut self, block: &[u8]) -> Result<bool> {
        for &byte in block {
            if self.is_complete() {
                break;
            }
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > 20 {
                    return Err("the sparse map is malformed");
                }
                continue;
            }
            let number = decimal(&std::mem::take(&mut self.line))?;
            match self.count {
                None => self.count = Some(number),
                Some(_) => self.numbers.push(number),
            }
        }
        Ok(self.is_complete())
    }

    fn is_complete(&self) -> bool {
        let have = u64::try_from(self.numbers.len()).unwrap_or(u64::MAX);
        self.count.is_some_and(|count| count.checked_mul(2) == Some(have))
    }

    pub(super) fn finish(self) -> Vec<Segment> {
        let (pairs, _) = self.numbers.as_chunks::<2>();
        pairs.iter().map(|&[offset, length]| Segment { offset, length }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{MapReader, Segment, check};

    #[test]
    fn maps_must_fit() {
        let segment = |offset, length| Segment { offset, length };
        assert_eq!(check(vec![segment(0, 1), segment(9, 0)], 9, 1), Ok(vec![segment(0, 1)]));
        for (segments, size, stored) in [
            (vec![segment(5, 5), segment(0, 5)], 10, 10),
            (vec![segment(0, 6), segment(5, 5)], 10, 11),
            (vec![segment(5, 6)], 10, 6),
            (vec![segment(0, 5)], 10, 6),
            (vec![segment(u64::MAX, 2)], u64::MAX, 2),
        ] {
            assert!(check(segments, size, stored).is_err());
        }
    }

    #[test]
    fn maps_in_the_data() {
        let mut reader = MapReader::default();
        assert!(!reader.push(b"2\n0\n5").unwrap());
        assert!(reader.push(b"\n100\n7\n\0\0\0").unwrap());
        let second = Segment { offset: 100, length: 7 };
        assert_eq!(reader.finish(), [Segment { offset: 0, length: 5 }, second]);
        assert!(MapReader::default().push(b"x\n").is_err());
        assert!(MapReader::default().push(&[b'1'; 99]).is_err());
    }
}
