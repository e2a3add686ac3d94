//! Keys that detach: `ctrl-p,ctrl-q` and the like.

/// The bytes that a list of keys sends: single characters or `ctrl-` with `a`–`z`, `@`, `[`, `\`,
/// `]`, `^`, `_`.
///
/// # Errors
/// A message about the key that is none.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    text.split(',').map(key).collect()
}

fn key(name: &str) -> Result<u8, String> {
    let unknown = || format!("unknown character: '{name}'");
    let code = match name.strip_prefix("ctrl-").map(str::as_bytes) {
        None => match name.as_bytes() {
            [byte] => *byte,
            _ => return Err(unknown()),
        },
        Some([letter @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'['..=b'_')]) => letter & 0x1f,
        Some(_) => return Err(unknown()),
    };
    Ok(code)
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(crate) struct Detector {
    keys: Vec<u8>,
    matched: usize,
}

/// What came of some typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// What goes to the container: keys of an unfinished sequence are held back.
    pub(crate) bytes: Vec<u8>,
    /// The sequence is complete.
    pub(crate) detached: bool,
}

impl Detector {
    /// A detector of these keys.
    pub(crate) const fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return Typed { bytes, detached: true };
                }
                continue;
            }
            // The held keys were meant for the container after all.
            bytes.extend_from_slice(self.keys.get(..self.matched).unwrap_or_default());
            self.matched = 0;
            if self.keys.first() == Some(&byte) {
                self.matched = 1;
            } else {
                bytes.push(byte);
            }
        }
        Typed { bytes, detached: false }
    }
}

#[cfg(test)]
mod tests {
    use super::{Detector, parse};

    #[test]
    fn keys_are_read() {
        assert_eq!(parse("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(parse("a,ctrl-\\,ctrl-@"), Ok(vec![b'a', 28, 0]));
        for text in ["", "ctrl-", "ctrl-1", "ab", "a,"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sequences_are_found_across_reads() {
        let mut detector = Detector::new(vec![16, 17]);
        let mut feed = |bytes: &[u8]| {
            let typed = detector.feed(bytes);
            (typed.bytes, typed.detached)
        };
        assert_eq!(feed(b"ls"), (b"ls".to_vec(), false));
        assert_eq!(feed(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(feed(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(feed(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(feed(b"\x11x"), (b"".to_vec(), true));
    }
}
