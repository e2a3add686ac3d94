//! The keys that let go of a terminal: a pure matcher over the bytes typed.

/// A sequence of bytes that detaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// A key that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid detach key '{0}'")]
pub struct UnknownKey(String);

impl Default for DetachKeys {
    /// Control-P, control-Q.
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a,b`, `ctrl-@`; an empty text means that no keys detach.
    ///
    /// # Errors
    /// The first key that does not exist.
    pub fn parse(text: &str) -> Result<Self, UnknownKey> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|key| key_code(key).ok_or_else(|| UnknownKey(key.to_owned())))
            .collect::<Result<Vec<u8>, UnknownKey>>()
            .map(Self)
    }

    /// The bytes that they send.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn key_code(key: &str) -> Option<u8> {
    if let &[byte] = key.as_bytes() {
        return byte.is_ascii().then_some(byte);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [byte @ b'a'..=b'z'] => Some(byte - b'a' + 1),
        [b'@'] => Some(0),
        [b'['] => Some(27),
        [b'\\'] => Some(28),
        [b']'] => Some(29),
        [b'^'] => Some(30),
        [b'_'] => Some(31),
        _ => None,
    }
}

/// What is to be done with typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// These go on to the process.
    pub forward: Vec<u8>,
    /// The sequence is complete: the client detaches; what came after it is dropped.
    pub detach: bool,
}

/// Follows the bytes typed. A beginning of the sequence is held back until it is clear whether it
/// goes on; nothing is ever lost.
#[derive(Debug)]
pub struct Matcher {
    keys: DetachKeys,
    matched: usize,
}

impl Matcher {
    /// A matcher that has seen nothing yet.
    #[must_use]
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes the next bytes typed.
    pub fn push(&mut self, typed: &[u8]) -> Typed {
        let keys = self.keys.0.as_slice();
        let mut forward = Vec::with_capacity(typed.len() + self.matched);
        for &byte in typed {
            if keys.is_empty() {
                forward.push(byte);
                continue;
            }
            // Fall back to the longest beginning of the sequence that the bytes held still end in.
            while self.matched > 0 && keys[self.matched] != byte {
                let kept = longest_border(&keys[..self.matched]);
                forward.extend_from_slice(&keys[..self.matched - kept]);
                self.matched = kept;
            }
            if keys[self.matched] == byte {
                self.matched += 1;
            } else {
                forward.push(byte);
            }
            if self.matched == keys.len() {
                self.matched = 0;
                return Typed { forward, detach: true };
            }
        }
        Typed { forward, detach: false }
    }

    /// The bytes held back, when no more come.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = self.keys.0[..self.matched].to_vec();
        self.matched = 0;
        held
    }
}

/// The length of the longest proper beginning of `bytes` which is also its end.
fn longest_border(bytes: &[u8]) -> usize {
    (0..bytes.len()).rev().find(|&length| bytes.ends_with(&bytes[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{DetachKeys, Matcher};

    /// Feeds the pieces; gives what went on (with what was held at the end) and whether it detached.
    fn feed(keys: &str, pieces: &[&str]) -> (String, bool) {
        let mut matcher = Matcher::new(DetachKeys::parse(keys).unwrap());
        let mut forwarded = Vec::new();
        for piece in pieces {
            let typed = matcher.push(piece.as_bytes());
            forwarded.extend(typed.forward);
            if typed.detach {
                return (String::from_utf8(forwarded).unwrap(), true);
            }
        }
        forwarded.extend(matcher.finish());
        (String::from_utf8(forwarded).unwrap(), false)
    }

    #[test]
    fn sequences() {
        let default = "ctrl-p,ctrl-q";
        for (keys, pieces, expected) in [
            (default, &["ls\n"][..], ("ls\n", false)),
            (default, &["a\u{10}\u{11}b"], ("a", true)),
            (default, &["a\u{10}", "\u{11}"], ("a", true)),
            (default, &["\u{10}x"], ("\u{10}x", false)),
            (default, &["\u{10}"], ("\u{10}", false)),
            (default, &["\u{10}\u{10}\u{11}"], ("\u{10}", true)),
            ("a,a,b", &["aaab"], ("a", true)),
            ("a,b,a,c", &["ababac"], ("ab", true)),
            ("a,b,a,c", &["aba", "bx"], ("ababx", false)),
            ("", &["\u{10}\u{11}"], ("\u{10}\u{11}", false)),
            ("ctrl-\\", &["x\u{1c}"], ("x", true)),
        ] {
            assert_eq!(feed(keys, pieces), (expected.0.to_owned(), expected.1), "{pieces:?}");
        }
    }

    #[test]
    fn keys_that_do_not_exist() {
        for bad in ["ctrl-", "ctrl-ab", "abc", "a,,b", "ctrl-A", "é"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(DetachKeys::parse("ctrl-p,ctrl-q").unwrap(), DetachKeys::default());
    }
}
