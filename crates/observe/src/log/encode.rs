//! One entry as Docker's json-file driver writes it, byte for byte, and back.
//!
//! The escapes are those of Go's `encoding/json` with HTML escaping, as moby's `jsonlog` package
//! has them: `\"`, `\\`, `\n`, `\r`; `\u00XX` for other control characters and `<`, `>`, `&`;
//! `\u2028`, `\u2029`; `\ufffd` for each byte that is no UTF-8.

use serde::Deserialize;

use super::{Entry, Stream, timestamp};

/// Bytes that stand for themselves.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = true;
        byte += 1;
    }
    let special = br#""\<>&"#;
    let mut at = 0;
    while at < special.len() {
        plain[special[at] as usize] = false;
        at += 1;
    }
    plain
};

/// Appends one entry, `{"log":"…","stream":"…","time":"…"}` and a newline. `parts` are one after
/// another the entry's bytes, `time` is formatted.
pub(super) fn entry(out: &mut Vec<u8>, parts: &[&[u8]], stream: Stream, time: &str) {
    out.extend_from_slice(br#"{"log":""#);
    match parts {
        // A character may be split between two parts.
        [first, second] if !first.is_empty() => escape(out, &[*first, *second].concat()),
        _ => parts.iter().for_each(|part| escape(out, part)),
    }
    out.extend_from_slice(br#"","stream":""#);
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(br#"","time":""#);
    out.extend_from_slice(time.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let plain = rest.iter().take_while(|byte| PLAIN[usize::from(**byte)]).count();
        let (head, tail) = rest.split_at(plain);
        out.extend_from_slice(head);
        let Some(&first) = tail.first() else { return };
        rest = &tail[escape_one(out, first, tail)..];
    }
}

/// Appends what stands for the first character of `tail` and returns its length.
fn escape_one(out: &mut Vec<u8>, first: u8, tail: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match first {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', first]),
        0x00..0x80 => {
            let digits = [HEX[usize::from(first >> 4)], HEX[usize::from(first & 0xf)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
        0x80.. => match character(first, tail) {
            Some([0xe2, 0x80, last @ (0xa8 | 0xa9)]) => {
                out.extend_from_slice(b"\\u202");
                out.push(HEX[usize::from(last & 0xf)]);
                return 3;
            }
            Some(valid) => {
                out.extend_from_slice(valid);
                return valid.len();
            }
            None => out.extend_from_slice(b"\\ufffd"),
        },
    }
    1
}

/// The whole UTF-8 character at the beginning of `tail`.
fn character(first: u8, tail: &[u8]) -> Option<&[u8]> {
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    tail.get(..length).filter(|bytes| std::str::from_utf8(bytes).is_ok())
}

/// Reads one line of a log; `None` for a half-written or foreign one.
pub(super) fn decode(line: &[u8]) -> Option<Entry> {
    decode_own(line).or_else(|| decode_any(line))
}

/// The form that [`entry`] writes, which is also Docker's without extra attributes.
fn decode_own(line: &[u8]) -> Option<Entry> {
    let rest = line.strip_prefix(br#"{"log":""#)?;
    let mut bytes = Vec::with_capacity(rest.len().saturating_sub(60));
    let rest = unescape(rest, &mut bytes)?;
    let rest = rest.strip_prefix(br#","stream":"std"#)?;
    let (stream, rest) = match rest {
        [b'o', b'u', b't', rest @ ..] => (Stream::Stdout, rest),
        [b'e', b'r', b'r', rest @ ..] => (Stream::Stderr, rest),
        _ => return None,
    };
    let time = rest.strip_prefix(br#"","time":""#)?.trim_ascii_end().strip_suffix(b"\"}")?;
    Some(Entry { time: timestamp::parse(time)?, stream, bytes })
}

/// Unescapes up to the closing quote and returns what comes after it.
fn unescape<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        bytes.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'n', after @ ..] => (bytes.push(b'\n'), rest = after).1,
            [b'\\', b'r', after @ ..] => (bytes.push(b'\r'), rest = after).1,
            [b'\\', b't', after @ ..] => (bytes.push(b'\t'), rest = after).1,
            [b'\\', byte @ (b'"' | b'\\' | b'/'), after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
            [b'\\', b'u', a, b, c, d, after @ ..] => {
                let digits = [*a, *b, *c, *d];
                let code = u32::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
                // A surrogate is half of a pair: that is for the general parser.
                let character = char::from_u32(code)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            _ => return None,
        }
    }
}

#[derive(Deserialize)]
struct AnyEntry {
    #[serde(default)]
    log: String,
    stream: Stream,
    time: String,
}

/// Any JSON that has the three members (Docker adds `attrs` when asked to).
fn decode_any(line: &[u8]) -> Option<Entry> {
    let entry: AnyEntry = serde_json::from_slice(line).ok()?;
    let time = timestamp::parse(entry.time.as_bytes())?;
    Some(Entry { time, stream: entry.stream, bytes: entry.log.into_bytes() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Stream, decode, entry};

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        entry(&mut out, &[bytes], Stream::Stdout, "1970-01-01T00:00:00Z");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_as_go_does() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain\n", r"plain\n"),
            (b"\"\\\r\t\x00\x1f", r#"\"\\\r\u0009\u0000\u001f"#),
            (b"<a>&\x7f", "\\u003ca\\u003e\\u0026\x7f"),
            ("grüße €🙂".as_bytes(), "grüße €🙂"),
            ("\u{2028}\u{2029}\u{202a}".as_bytes(), "\\u2028\\u2029\u{202a}"),
            (b"\xff\xc3\x28", r"\ufffd\ufffd("),
            (b"\xe2\x82", r"\ufffd\ufffd"),
            (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        ];
        for (bytes, text) in cases {
            let expected = format!(
                "{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"1970-01-01T00:00:00Z\"}}\n"
            );
            assert_eq!(encoded(bytes), expected);
        }
    }

    #[test]
    fn a_character_may_be_split_between_parts() {
        let mut out = Vec::new();
        entry(&mut out, &["ü".as_bytes().split_at(1).0, &[0xbc]], Stream::Stderr, "x");
        assert_eq!(out, "{\"log\":\"ü\",\"stream\":\"stderr\",\"time\":\"x\"}\n".as_bytes());
    }

    #[test]
    fn foreign_and_broken_lines() {
        let with_attributes = br#"{"log":"\ud83d\ude42\n","stream":"stderr","attrs":{"a":"b"},"time":"2024-02-29T12:34:56.5Z"}"#;
        let entry = decode(with_attributes).unwrap();
        assert_eq!((entry.bytes, entry.stream), ("🙂\n".into(), Stream::Stderr));
        for broken in [&b"{\"log\":\"a"[..], b"", b"null", b"\x00\x00\x00"] {
            assert_eq!(decode(broken), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_utf8_comes_back(text in any::<String>()) {
            let line = encoded(text.as_bytes());
            serde_json::from_str::<serde_json::Value>(&line).unwrap();
            assert_eq!(decode(line.as_bytes()).unwrap().bytes, text.as_bytes());
        }

        #[test]
        fn anything_else_comes_back_replaced(bytes in any::<Vec<u8>>()) {
            let line = encoded(&bytes);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["log"].as_str().unwrap().as_bytes(), decode(line.as_bytes()).unwrap().bytes);
        }
    }
}
