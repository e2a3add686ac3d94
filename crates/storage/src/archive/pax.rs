//! Extended headers (pax(1), "pax Extended Header"): `LENGTH KEYWORD=VALUE\n`.

use super::{Attribute, Segment, Time};

type Result<T> = std::result::Result<T, &'static str>;

/// The records that say something about the next entry.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<Time>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) sparse: Sparse,
}

/// What the three pax forms of sparse files say.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    pub(super) version: (u64, u64),
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) segments: Option<Vec<Segment>>,
    offset: Option<u64>,
}

impl Pax {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self> {
        let mut pax = Self::default();
        while !bytes.is_empty() && bytes[0] != 0 {
            let (keyword, value, rest) = split_record(bytes)?;
            pax.take(keyword, value)?;
            bytes = rest;
        }
        Ok(pax)
    }

    fn take(&mut self, keyword: &[u8], value: &[u8]) -> Result<()> {
        if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
            return self.take_attribute(name, value);
        }
        if let Some(name) = keyword.strip_prefix(b"GNU.sparse.") {
            return self.sparse.take(name, value);
        }
        match keyword {
            // An empty value takes back what a global header said.
            b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime" if value.is_empty() => {}
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link = Some(name(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.modified = Some(time(value)?),
            _ => {}
        }
        Ok(())
    }

    fn take_attribute(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        if name.is_empty() || name.contains(&0) {
            return Err("the name of an extended attribute is malformed");
        }
        self.attributes.retain(|attribute| attribute.name != name);
        self.attributes.push(Attribute { name: name.to_vec(), value: value.to_vec() });
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, name_of: &[u8], value: &[u8]) -> Result<()> {
        match name_of {
            b"major" => self.version.0 = decimal(value)?,
            b"minor" => self.version.1 = decimal(value)?,
            b"name" => self.name = Some(name(value)?),
            b"size" | b"realsize" => self.size = Some(decimal(value)?),
            b"map" => self.segments = Some(map(value)?),
            b"offset" => self.offset = Some(decimal(value)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or("the sparse map is malformed")?;
                let segment = Segment { offset, length: decimal(value)? };
                self.segments.get_or_insert_default().push(segment);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The first record's keyword and value, and what follows it.
fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    const WRONG: &str = "a pax record is malformed";
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (length, rest) = bytes.split_at(digits);
    let length = usize::try_from(decimal(length)?).map_err(|_| WRONG)?;
    if rest.first() != Some(&b' ') || length <= digits + 1 || length > bytes.len() {
        return Err(WRONG);
    }
    let (record, after) = bytes.split_at(length);
    let record = record.get(digits + 1..).and_then(|record| record.strip_suffix(b"\n"));
    let record = record.ok_or(WRONG)?;
    let equals = record.iter().position(|&byte| byte == b'=').ok_or(WRONG)?;
    let (keyword, value) = record.split_at(equals);
    if keyword.is_empty() {
        return Err(WRONG);
    }
    Ok((keyword, value.get(1..).unwrap_or_default(), after))
}

fn name(value: &[u8]) -> Result<Vec<u8>> {
    if value.contains(&0) { Err("a name contains NUL") } else { Ok(value.to_vec()) }
}

/// `offset,length,offset,length…`
fn map(value: &[u8]) -> Result<Vec<Segment>> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<u64> = value.split(|&b| b == b',').map(decimal).collect::<Result<_>>()?;
    let (pairs, odd) = numbers.as_chunks::<2>();
    if !odd.is_empty() {
        return Err("the sparse map is malformed");
    }
    Ok(pairs.iter().map(|&[offset, length]| Segment { offset, length }).collect())
}

pub(super) fn decimal(value: &[u8]) -> Result<u64> {
    const WRONG: &str = "a number is not decimal or out of range";
    if value.is_empty() || value.len() > 20 {
        return Err(WRONG);
    }
    value.iter().try_fold(0_u64, |sum, &digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(WRONG)?;
        sum.checked_mul(10).and_then(|sum| sum.checked_add(u64::from(digit))).ok_or(WRONG)
    })
}

/// `-12.345678901234`; digits beyond nanoseconds are cut off.
fn time(value: &[u8]) -> Result<Time> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let mut seconds = i64::try_from(seconds).map_err(|_| "a time is out of range")?;
    let mut nanoseconds = 0_u32;
    let fraction = parts.next().unwrap_or_default();
    for position in 0..9 {
        let digit = fraction.get(position).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return Err("a time is malformed");
        }
        nanoseconds = nanoseconds * 10 + u32::from(digit - b'0');
    }
    if negative {
        seconds = -seconds;
        if nanoseconds > 0 {
            seconds -= 1;
            nanoseconds = 1_000_000_000 - nanoseconds;
        }
    }
    Ok(Time { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::{Pax, Segment, Time, time};
    use proptest::prelude::*;

    fn record(text: &[u8]) -> Vec<u8> {
        let mut length = text.len() + 3;
        while format!("{length} ").len() + text.len() + 1 != length {
            length += 1;
        }
        [format!("{length} ").as_bytes(), text, b"\n"].concat()
    }

    #[test]
    fn records() {
        let mut bytes = record(b"path=some/where");
        bytes.extend(record(b"size=99"));
        bytes.extend(record(b"SCHILY.xattr.user.a=x=\ny"));
        bytes.extend(record(b"GNU.sparse.map=0,5,100,7"));
        bytes.extend(record(b"comment="));
        let pax = Pax::parse(&bytes).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"some/where"[..]));
        assert_eq!(pax.size, Some(99));
        assert_eq!(pax.attributes[0].value, b"x=\ny");
        let second = Segment { offset: 100, length: 7 };
        assert_eq!(pax.sparse.segments.unwrap()[1], second);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"6 ab\n\n",
            b"0 a=b\n",
            b"3 \n",
            b"18446744073709551616 a=b\n",
        ] {
            assert!(Pax::parse(bytes).is_err(), "{bytes:?}");
        }
        assert!(Pax::parse(&record(b"path=a\0b")).is_err());
        assert!(Pax::parse(&record(b"size=-1")).is_err());
        assert!(Pax::parse(&record(b"GNU.sparse.map=1,2,3")).is_err());
        assert!(Pax::parse(&record(b"GNU.sparse.numbytes=1")).is_err());
    }

    #[test]
    fn times() {
        assert_eq!(time(b"12.5"), Ok(Time { seconds: 12, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-1.25"), Ok(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"7.1234567899"), Ok(Time { seconds: 7, nanoseconds: 123_456_789 }));
        assert!(time(b"x").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            drop(Pax::parse(&bytes));
        }
    }
}
