//! Compressing a full log file without holding up the container's output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use flate2::write::GzEncoder;

use crate::Error;

/// One full file, waiting to be compressed: taken from [`super::Writer::take_compression`], run
/// wherever it disturbs nobody (the monitor forks a child for it), and handed back by
/// [`super::Writer::finish_compression`].
#[derive(Debug)]
pub struct Compression {
    pub(super) generation: u64,
    pub(super) source: File,
    pub(super) target: PathBuf,
}

impl Compression {
    /// Writes the compressed copy beside the log, in pieces of 64 KiB. Nothing is renamed: that is
    /// done by [`super::Writer::finish_compression`].
    ///
    /// # Errors
    /// When reading or writing fails; the copy is then removed.
    pub fn run(&self) -> Result<(), Error> {
        let result = self.copy();
        if result.is_err() {
            drop(std::fs::remove_file(&self.target));
        }
        result.map_err(|source| Error::file("compress into", &self.target, source))
    }

    fn copy(&self) -> io::Result<()> {
        let target = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&self.target)?;
        let mut encoder = GzEncoder::new(target, flate2::Compression::default());
        let mut piece = vec![0; 64 << 10];
        let mut source = &self.source;
        loop {
            let count = source.read(&mut piece)?;
            if count == 0 {
                return encoder.finish().map(drop);
            }
            encoder.write_all(&piece[..count])?;
        }
    }
}

impl std::os::fd::AsFd for Compression {
    /// The one descriptor that [`Compression::run`] needs.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.source.as_fd()
    }
}
