//! Image references (`registry/repository:tag@digest`), by the grammar of the distribution
//! project's `reference` package, with its defaults: `docker.io`, `library/`, `latest`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, shorten};

/// The registry meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The older name of the default registry.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// The namespace of the default registry's own images.
const OFFICIAL: &str = "library/";
/// The tag meant when neither tag nor digest is given.
const DEFAULT_TAG: &str = "latest";
/// The longest repository path, in bytes.
const MAX_REPOSITORY: usize = 255;
/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// A fully qualified image name. It always has a tag, a digest, or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference `{text}`: {reason}")]
pub struct ReferenceError {
    /// The text as given, shortened.
    text: String,
    reason: &'static str,
}

impl Reference {
    /// Parses a reference as people write it: `alpine`, `alpine:3`, `ghcr.io/a/b@sha256:…`.
    ///
    /// # Errors
    /// [`ReferenceError`] with the first rule that is broken.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError { text: shorten(text), reason })
    }

    /// The registry, `docker.io` when none was named; may carry a port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository within the registry, such as `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, without the colon.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which wins over the tag when both are given.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository without tag and digest: `docker.io/library/alpine`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// [`Self::name`] as people are shown it: `alpine`, `user/app`, `ghcr.io/a/b`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        match self.repository.strip_prefix(OFFICIAL) {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The whole reference as people are shown it: `alpine:3`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffixes(self.familiar_name())
    }

    /// The same repository under another tag, without digest.
    ///
    /// # Errors
    /// When `tag` is not a valid tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        check_tag(tag).map_err(|reason| ReferenceError { text: shorten(tag), reason })?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository by digest alone, as Docker's `RepoDigests` has it.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn with_suffixes(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

/// The canonical form: `docker.io/library/alpine:latest`.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_suffixes(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(Digest::parse(digest).map_err(|_| "the digest is malformed")?))
        }
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("64 hexadecimal digits are an id, not a name");
    }
    let (registry, repository) = split_registry(name);
    check_registry(registry)?;
    let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
        format!("{OFFICIAL}{repository}")
    } else {
        repository.to_owned()
    };
    check_repository(&repository)?;
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (None, Some(_)) => None,
    };
    Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
}

/// A colon after the last slash starts the tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first component is a registry if it has a dot, a colon or a capital, or is `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.bytes().any(|b| b == b'.' || b == b':' || b.is_ascii_uppercase()) =>
        {
            (if first == LEGACY_REGISTRY { DEFAULT_REGISTRY } else { first }, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if port.parse::<u16>().is_err() || !port.bytes().all(|b| b.is_ascii_digit()) {
                return Err("the registry's port is not a number below 65536");
            }
            host
        }
        _ => registry,
    };
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("the registry's IPv6 address is malformed"),
        };
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if host.len() <= 253 && host.split('.').all(label) {
        Ok(())
    } else {
        Err("the registry is not a host name")
    }
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.len() > MAX_REPOSITORY {
        return Err("the repository has more than 255 characters");
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    if repository.split('/').all(is_component) {
        Ok(())
    } else {
        Err("the repository's parts must be [a-z0-9]+ separated by one of . _ __ or dashes")
    }
}

/// `[a-z0-9]+ ( ( [.] | _ | __ | -+ ) [a-z0-9]+ )*`
fn is_component(component: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let length = rest.iter().take_while(|&&b| word(b)).count();
        if length == 0 {
            return false;
        }
        rest = &rest[length..];
        if rest.is_empty() {
            return true;
        }
        let length = rest.iter().take_while(|&&b| !word(b)).count();
        let (separator, after) = rest.split_at(length);
        let fine = matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-');
        if !fine {
            return false;
        }
        rest = after;
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let mut bytes = tag.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && tag.len() <= MAX_TAG {
        Ok(())
    } else {
        Err(
            "the tag must be 1 to 128 letters, digits, `_`, `.` or `-`, not starting with `.` or `-`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn canonical_and_familiar_forms() {
        let by_digest = format!("alpine@sha256:{HEX}");
        let both = format!("alpine:3@sha256:{HEX}");
        for (text, canonical, familiar) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("alpine:3", "docker.io/library/alpine:3", "alpine:3"),
            ("user/app", "docker.io/user/app:latest", "user/app:latest"),
            ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("index.docker.io/user/app", "docker.io/user/app:latest", "user/app:latest"),
            ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
            ("LOCAL/x", "LOCAL/x:latest", "LOCAL/x:latest"),
            ("[::1]:5000/x:y", "[::1]:5000/x:y", "[::1]:5000/x:y"),
            ("a__b--c.d_e", "docker.io/library/a__b--c.d_e:latest", "a__b--c.d_e:latest"),
            (&by_digest, &format!("docker.io/library/alpine@sha256:{HEX}"), &by_digest),
            (&both, &format!("docker.io/library/alpine:3@sha256:{HEX}"), &both),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), canonical, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            ":",
            "@",
            "/",
            "Alpine",
            "alpine:",
            "alpine:-x",
            "a//b",
            "a/",
            "/a",
            "a:b:c",
            "a___b",
            "a..b",
            "-a",
            "a-",
            "_a",
            "host:99999/x",
            "host:+1/x",
            "[::g]/x",
            "a b",
            "alpine@sha256:00",
            "a..b.com/x",
            "http://x/y",
            "é",
            HEX,
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
        assert!(Reference::parse(&"a".repeat(300)).is_err());
        assert!(Reference::parse(&format!("a:{}", "b".repeat(129))).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            drop(Reference::parse(&text));
        }

        #[test]
        fn canonical_form_is_a_fixed_point(text in "[a-zA-Z0-9./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                let again = Reference::parse(&reference.to_string());
                prop_assert_eq!(again, Ok(reference.clone()));
                prop_assert_eq!(Reference::parse(&reference.familiar()), Ok(reference));
            }
        }
    }
}
