//! Answers that arrive piece by piece.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::request::Sender;
use crate::{Error, Result, frame};

/// The bytes of an answer, as they arrive. Dropping it closes the connection.
#[derive(Debug)]
pub struct ByteStream {
    label: String,
    multiplexed: Option<bool>,
    body: Incoming,
    /// Kept so that the connection lives as long as the answer.
    _sender: Sender,
}

impl ByteStream {
    pub(crate) fn new(label: String, response: Response<Incoming>, sender: Sender) -> Self {
        let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let multiplexed = multiplexed(kind);
        Self { label, multiplexed, body: response.into_body(), _sender: sender }
    }

    /// Whether the content type says that the bytes are multiplexed frames (see
    /// [`crate::frame::Decoder`]); `None` when it says neither (servers before API 1.42).
    #[must_use]
    pub fn multiplexed(&self) -> Option<bool> {
        self.multiplexed
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(received) = self.body.frame().await {
            let received = received.map_err(|source| Error::Transport {
                request: self.label.clone(),
                source: Box::new(source),
            })?;
            // Trailers are of no interest.
            if let Ok(bytes) = received.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// What a content type says about frames.
pub(crate) fn multiplexed(content_type: Option<&str>) -> Option<bool> {
    match content_type {
        Some(frame::MULTIPLEXED_STREAM) => Some(true),
        Some(frame::RAW_STREAM) => Some(false),
        _ => None,
    }
}

/// JSON documents, one after the other, as they arrive.
#[derive(Debug)]
pub struct Lines<T> {
    stream: ByteStream,
    splitter: Splitter,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self { stream, splitter: Splitter::default(), item: PhantomData }
    }

    /// The next document; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks or the document is not the expected JSON.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(line) = self.splitter.next() {
                return self.decode(&line).map(Some);
            }
            match self.stream.next().await? {
                Some(bytes) => self.splitter.feed(&bytes),
                None => {
                    return self.splitter.rest().map(|line| self.decode(&line)).transpose();
                }
            }
        }
    }

    fn decode(&self, line: &[u8]) -> Result<T> {
        serde_json::from_slice(line)
            .map_err(|source| Error::Decode { request: self.stream.label.clone(), source })
    }
}

/// Cuts bytes into lines that are not blank.
#[derive(Debug, Default)]
struct Splitter {
    lines: VecDeque<Bytes>,
    partial: BytesMut,
}

impl Splitter {
    fn feed(&mut self, bytes: &[u8]) {
        let searched = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let mut from = searched;
        while let Some(found) =
            self.partial.get(from..).and_then(|part| part.iter().position(|&byte| byte == b'\n'))
        {
            let line = self.partial.split_to(from + found).freeze();
            self.partial.advance(1);
            self.push(line);
            from = 0;
        }
    }

    fn push(&mut self, line: Bytes) {
        if !line.trim_ascii().is_empty() {
            self.lines.push_back(line);
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        self.lines.pop_front()
    }

    /// What came after the last line feed.
    fn rest(&mut self) -> Option<Bytes> {
        let line = self.partial.split().freeze();
        self.push(line);
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::Splitter;

    #[test]
    fn any_cut_gives_the_same_lines() {
        let wire = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}";
        for size in 1..=wire.len() {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            for piece in wire.chunks(size) {
                splitter.feed(piece);
                lines.extend(std::iter::from_fn(|| splitter.next()));
            }
            lines.extend(splitter.rest());
            let texts: Vec<_> =
                lines.iter().map(|line| String::from_utf8_lossy(line).trim().to_owned()).collect();
            assert_eq!(texts, [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
        }
    }
}
