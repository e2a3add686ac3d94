//! Names of entries in a layer: what they are in the layer's root, and what they mean.

/// The longest path in bytes, and the longest of its components.
const MAX_PATH: usize = 4095;
const MAX_COMPONENT: usize = 255;
/// The deepest path.
const MAX_DEPTH: usize = 512;

/// A path inside a layer: components joined by single slashes, no `.`, no `..`, nothing before or
/// after. Empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InnerPath {
    bytes: Vec<u8>,
}

/// What a name means, by the rules for layers (OCI image specification, "Whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// An entry of that name.
    Plain,
    /// What lower layers have under that name is gone.
    Whiteout(&'a [u8]),
    /// Everything that lower layers have in the directory is gone.
    Opaque,
    /// Something that an old storage driver kept for itself.
    Ignored,
}

impl InnerPath {
    /// Absolute names are taken as relative to the root, as every builder's reader does (`ko`
    /// writes such). Names that climb are refused.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.contains(&0) {
            return Err("the name contains NUL");
        }
        if bytes.len() > MAX_PATH {
            return Err("the name is too long");
        }
        let components = bytes.split(|&byte| byte == b'/');
        let components: Vec<&[u8]> =
            components.filter(|part| !matches!(*part, b"" | b".")).collect();
        if components.contains(&&b".."[..]) {
            return Err("the name contains `..`");
        }
        if components.iter().any(|component| component.len() > MAX_COMPONENT) {
            return Err("a part of the name is too long");
        }
        if components.len() > MAX_DEPTH {
            return Err("the name is too deep");
        }
        Ok(Self { bytes: components.join(&b'/') })
    }

    pub(crate) const fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn as_path(&self) -> &std::path::Path {
        std::path::Path::new(os(&self.bytes))
    }

    /// The directory it is in, and its name there.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.bytes.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&self.bytes[..slash], &self.bytes[slash + 1..]),
            None => (&[], &self.bytes),
        }
    }

    /// Whether it lies below `other`.
    pub(crate) fn is_below(&self, other: &[u8]) -> bool {
        self.bytes.strip_prefix(other).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    pub(crate) fn meaning(&self) -> Result<Meaning<'_>, &'static str> {
        let (parent, name) = self.split();
        for part in parent.split(|&byte| byte == b'/') {
            if part.starts_with(b".wh..wh.") {
                return Ok(Meaning::Ignored);
            }
            if part.starts_with(b".wh.") {
                return Err("a whiteout is used as a directory");
            }
        }
        let Some(hidden) = name.strip_prefix(b".wh.") else { return Ok(Meaning::Plain) };
        match hidden {
            b".wh..opq" => Ok(Meaning::Opaque),
            b"" | b"." | b".." => Err("the whiteout names no entry"),
            hidden if hidden.starts_with(b".wh.") => Ok(Meaning::Ignored),
            hidden => Ok(Meaning::Whiteout(hidden)),
        }
    }
}

pub(crate) fn os(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{InnerPath, Meaning};
    use proptest::prelude::*;

    #[test]
    fn names_are_made_plain() {
        for (name, plain) in [
            (&b"a/b"[..], &b"a/b"[..]),
            (b"./a//b/", b"a/b"),
            (b"/etc/passwd", b"etc/passwd"),
            (b"///", b""),
            (b"./", b""),
            (b"...", b"..."),
        ] {
            assert_eq!(InnerPath::parse(name).unwrap().as_bytes(), plain);
        }
        let long = [b'x'; 256];
        let deep = b"d/".repeat(513);
        for name in [&b"../x"[..], b"a/../b", b"a/..", b"..", b"a\0b", &long, &deep, &[b'/'; 5000]]
        {
            assert!(InnerPath::parse(name).is_err());
        }
    }

    #[test]
    fn whiteouts() {
        let meaning = |name: &'static [u8]| {
            let path = Box::leak(Box::new(InnerPath::parse(name).unwrap()));
            path.meaning()
        };
        assert_eq!(meaning(b"a/.wh.b"), Ok(Meaning::Whiteout(b"b")));
        assert_eq!(meaning(b".wh.b"), Ok(Meaning::Whiteout(b"b")));
        assert_eq!(meaning(b"a/.wh..wh..opq"), Ok(Meaning::Opaque));
        assert_eq!(meaning(b".wh..wh.plnk/1.2"), Ok(Meaning::Ignored));
        assert_eq!(meaning(b".wh..wh.aufs"), Ok(Meaning::Ignored));
        assert_eq!(meaning(b"a/b.wh.c"), Ok(Meaning::Plain));
        for name in [&b"a/.wh."[..], b".wh..", b".wh...", b".wh.a/b"] {
            assert!(meaning(name).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..60)) {
            if let Ok(path) = InnerPath::parse(&name) {
                prop_assert!(!path.as_bytes().starts_with(b"/"));
                prop_assert!(path.as_bytes().split(|b| *b == b'/').all(|part| part != b".."));
                drop(path.meaning());
            }
        }
    }
}
