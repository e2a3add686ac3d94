//! The query part of an address, read.

use std::borrow::Cow;

/// Decoded pairs in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        });
        Self(pairs.collect())
    }

    /// The first value of this name; empty when absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    /// The first value of this name unless it is empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// Every value of this name.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the name is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Docker's reading of a flag: on unless empty, `0`, `no`, `false` or `none`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.get(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// As [`Parameters::flag`], with a value for when it is absent.
    pub(crate) fn flag_or(&self, name: &str, absent: bool) -> bool {
        if self.has(name) { self.flag(name) } else { absent }
    }
}

/// Decodes `%XX` (and `+` in queries); what is no escape stays as it is.
pub(crate) fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || plus && byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'%', [high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                decoded.push(digit(*high) << 4 | digit(*low));
                bytes = behind;
            }
            (b'+', _) if plus => decoded.push(b' '),
            _ => decoded.push(*first),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Parameters, decode};

    #[test]
    fn pairs_are_decoded() {
        let query = Parameters::parse("a=1&b=x%20y+z&b=2&flag&off=false&filters=%7B%7D&bad=%zz");
        assert_eq!(query.get("b"), "x y z");
        assert_eq!(query.get("filters"), "{}");
        assert_eq!(query.get("bad"), "%zz");
        assert!(query.flag("a") && !query.flag("flag") && !query.flag("off"));
        assert!(query.flag_or("missing", true) && query.has("flag"));
        assert_eq!(decode("/images/a%2Fb+c", false), "/images/a/b+c");
    }
}
