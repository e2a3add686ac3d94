//! The query part of an address.

use std::fmt::Write;

use crate::Filters;

/// Pairs for behind the `?`, encoded as they are added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// No pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `name=value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode_into(&mut self.0, name);
        self.0.push('=');
        encode_into(&mut self.0, value.as_ref());
        self
    }

    /// Adds `name=1` when `on`.
    #[must_use]
    pub fn flag(self, name: &str, on: bool) -> Self {
        if on { self.with(name, "1") } else { self }
    }

    /// Adds `name=value` when there is a value.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds `filters={…}` unless there are none.
    #[must_use]
    pub fn filters(self, filters: &Filters) -> Self {
        if filters.is_empty() { self } else { self.with("filters", filters.to_json()) }
    }

    /// The encoded text without the `?`; empty when there are no pairs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Encodes one path segment; `/` is kept (image names have it), everything else reserved is
    /// percent-encoded.
    #[must_use]
    pub fn segment(text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for part in text.split('/') {
            if !encoded.is_empty() || text.starts_with('/') {
                encoded.push('/');
            }
            encode_into(&mut encoded, part);
        }
        encoded
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters, and `:` and `@`.
fn encode_into(target: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => {
                target.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(target, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn pairs_are_encoded() {
        let query = Query::new().with("fromImage", "a/b").flag("all", true).flag("size", false);
        assert_eq!(query.as_str(), "fromImage=a%2Fb&all=1");
        assert_eq!(Query::segment("a/b:1@sha256:ab c"), "a/b:1@sha256:ab%20c");
    }
}
