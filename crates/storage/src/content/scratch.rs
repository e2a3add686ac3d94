//! Space for bytes whose digest is not known yet.

use std::fs::File;

use rustix::fs::{Mode, OFlags};

use super::Content;
use crate::{Error, Result};

impl Content {
    /// A file without a name beside the blobs, for bytes whose digest only their end tells (the
    /// layers of old image archives). It is gone when it is closed, whatever happens.
    ///
    /// # Errors
    /// As for making a file.
    pub fn scratch(&self) -> Result<File> {
        let directory = self.root.join("partial");
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::io("make a file in", &directory, errno))?;
        Ok(File::from(file))
    }
}
