//! The 512 bytes before each entry (pax(1), "ustar Interchange Format"; GNU tar manual, "Basic Tar
//! Format").

use super::{BLOCK, Kind, Segment};

type Result<T> = std::result::Result<T, &'static str>;

/// A header block whose checksum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Old,
    Ustar,
    Star,
    Gnu,
}

impl<'a> Header<'a> {
    /// `None` for a block of zeros, which ends an archive.
    pub(super) fn read(block: &'a [u8; BLOCK]) -> Result<Option<Self>> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Self { block };
        let stored = number(header.field(148, 8))?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (position, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&position) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if stored != unsigned && stored != signed {
            return Err("the checksum is wrong");
        }
        Ok(Some(header))
    }

    fn field(&self, start: usize, length: usize) -> &'a [u8] {
        self.block.get(start..start + length).unwrap_or_default()
    }

    fn format(&self) -> Format {
        match self.field(257, 8) {
            b"ustar  \0" => Format::Gnu,
            magic if magic.starts_with(b"ustar\0") => {
                if self.field(508, 4) == b"tar\0" {
                    Format::Star
                } else {
                    Format::Ustar
                }
            }
            _ => Format::Old,
        }
    }

    pub(super) const fn type_flag(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let prefix = match self.format() {
            Format::Ustar => text(self.field(345, 155)),
            Format::Star => text(self.field(345, 131)),
            Format::Old | Format::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(self.field(157, 100)).to_vec()
    }

    pub(super) fn mode(&self) -> Result<u32> {
        let mode = number(self.field(100, 8))?;
        u32::try_from(mode & 0o7777).map_err(|_| "the mode is out of range")
    }

    pub(super) fn uid(&self) -> Result<u64> {
        size(self.field(108, 8))
    }

    pub(super) fn gid(&self) -> Result<u64> {
        size(self.field(116, 8))
    }

    pub(super) fn size(&self) -> Result<u64> {
        size(self.field(124, 12))
    }

    pub(super) fn modified(&self) -> Result<i64> {
        number(self.field(136, 12))
    }

    /// The kind by the type flag; a sparse file is a file.
    pub(super) fn kind(&self, path: &[u8]) -> Result<Kind> {
        Ok(match self.type_flag() {
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character(self.major()?, self.minor()?),
            b'4' => Kind::Block(self.major()?, self.minor()?),
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => return Err("the entry's type is unknown"),
        })
    }

    fn major(&self) -> Result<u32> {
        device(self.field(329, 8))
    }

    fn minor(&self) -> Result<u32> {
        device(self.field(337, 8))
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.format() == Format::Gnu
    }

    /// The first four segments of a GNU sparse file, whether more follow, and its size.
    pub(super) fn sparse(&self) -> Result<(Vec<Segment>, bool, u64)> {
        let segments = segments(self.field(386, 96))?;
        Ok((segments, self.block[482] != 0, size(self.field(483, 12))?))
    }
}

/// Segments as GNU writes them: two numbers of twelve bytes each, until an empty one.
pub(super) fn segments(bytes: &[u8]) -> Result<Vec<Segment>> {
    let pairs = bytes.chunks_exact(24).take_while(|pair| pair[0] != 0);
    pairs
        .map(|pair| {
            let (offset, length) = pair.split_at(12);
            Ok(Segment { offset: size(offset)?, length: size(length)? })
        })
        .collect()
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn size(field: &[u8]) -> Result<u64> {
    u64::try_from(number(field)?).map_err(|_| "a number is negative")
}

fn device(field: &[u8]) -> Result<u32> {
    u32::try_from(number(field)?).map_err(|_| "a device number is out of range")
}

/// Octal digits between blanks and NULs, or, with the top bit set, base 256 (two's complement).
fn number(field: &[u8]) -> Result<i64> {
    let Some((&first, rest)) = field.split_first() else { return Ok(0) };
    if first & 0x80 == 0 {
        return octal(field);
    }
    // The bit after the mark is the sign; a positive number does not have the mark.
    let first = if first & 0x40 != 0 { first } else { first & 0x7f };
    let mut value = i128::from(first.cast_signed());
    for &byte in rest {
        value = value << 8 | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| "a number is out of range")
}

fn octal(field: &[u8]) -> Result<i64> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let digits = field.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte));
    let mut value = 0_i64;
    for &digit in digits {
        if !(b'0'..=b'7').contains(&digit) {
            return Err("a number is not octal");
        }
        value = value << 3 | i64::from(digit - b'0');
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::{number, segments};

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b" 644 \0\0\0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"77777777777\0"), Ok(0o77_777_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), Ok(1 << 32));
        assert_eq!(number(&[0xff; 12]), Ok(-1));
        assert!(number(b"9").is_err());
        assert!(number(&[0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(segments(&[0xff; 24]).is_err());
    }
}
