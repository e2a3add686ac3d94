//! One stream of bytes, two consumers: the blob's file and the unpacker, each in a thread.
//!
//! ```text
//! network ─► Feed ─► writer thread: blob file, hash ─► bounded channel ─► unpacker thread
//! ```
//! Who is slower holds the others up; nothing piles up in memory. The end is said aloud: a channel
//! that just closes means that the download was given up.

use std::io::{self, Read, Write};

use bytes::Bytes;
use storage::BlobWriter;
use tokio::sync::mpsc;

/// Pieces that may wait for the next stage.
const QUEUE: usize = 32;

/// A piece on its way.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes of the blob.
    Bytes(Bytes),
    /// There are no more, and all are as they should be.
    End,
}

/// A bounded channel of pieces.
pub(super) fn channel() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(QUEUE)
}

/// How a writer thread ended without an error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The blob is committed.
    Whole,
    /// The download was given up; what there is stays to be resumed.
    Partly,
    /// The unpacker went away; it knows why.
    Unwanted,
}

/// Writes pieces into the blob and hands them on; commits at the end. For a thread of its own.
pub(super) fn write_blob(
    mut writer: BlobWriter,
    mut pieces: mpsc::Receiver<Piece>,
    unpacker: Option<&mpsc::Sender<Piece>>,
) -> Result<Written, WriteError> {
    loop {
        match pieces.blocking_recv() {
            None => return Ok(Written::Partly),
            Some(Piece::Bytes(bytes)) => {
                writer.write_all(&bytes).map_err(WriteError::Io)?;
                let handed = unpacker.map(|next| next.blocking_send(Piece::Bytes(bytes)));
                if handed.is_some_and(|handed| handed.is_err()) {
                    return Ok(Written::Unwanted);
                }
            }
            Some(Piece::End) => {
                writer.commit().map_err(WriteError::Storage)?;
                let handed = unpacker.map(|next| next.blocking_send(Piece::End));
                let refused = handed.is_some_and(|handed| handed.is_err());
                // The tar's own end may come before the blob's: then nobody waits for ours.
                return Ok(if refused { Written::Unwanted } else { Written::Whole });
            }
        }
    }
}

/// Why a blob could not be written.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(io::Error),
    Storage(storage::Error),
}

/// The unpacker's end of the channel.
#[derive(Debug)]
pub(super) struct PieceReader {
    pub(super) pieces: mpsc::Receiver<Piece>,
    pub(super) current: Bytes,
    pub(super) ended: bool,
}

impl PieceReader {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new(), ended: false }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::other("the download was given up")),
            }
        }
        let count = buffer.len().min(self.current.len());
        let (now, later) = (self.current.slice(..count), self.current.slice(count..));
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&now);
        self.current = later;
        Ok(count)
    }
}
