//! The daemon's own log: standard error, or a file that is rotated.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// A file larger than this is put aside, bytes.
const LIMIT: u64 = 10 << 20;

/// The least severe messages that are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word it is given as")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl LogLevel {
    /// `debug`, `info`, `warn`, `error`; `fatal`, which Docker's clients know too, is `error`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" | "fatal" => Self::Error,
            _ => return None,
        })
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Sends what is logged to a file, or to standard error without one.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn start(file: Option<&Path>, level: LogLevel) -> io::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level.filter())
        .with_ansi(false)
        .with_target(false);
    // A second daemon in one process (tests) keeps the first one's log.
    let _already_set = match file {
        Some(path) => builder.with_writer(Rotated::open(path)?).try_init(),
        None => builder.with_writer(io::stderr).try_init(),
    };
    Ok(())
}

/// The last lines of what a log has behind `known` bytes, for error messages.
pub(crate) fn tail(path: &Path, known: u64, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let known = usize::try_from(known).unwrap_or(usize::MAX);
    // A log that was put aside meanwhile is new from its beginning.
    let text = String::from_utf8_lossy(text.get(known..).unwrap_or(&text));
    let all: Vec<_> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all.get(from..).unwrap_or_default().join("\n")
}

/// A file with one older file beside it.
#[derive(Debug, Clone)]
struct Rotated(Arc<Mutex<Current>>);

#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Rotated {
    fn open(path: &Path) -> io::Result<Self> {
        let (file, size) = open(path)?;
        Ok(Self(Arc::new(Mutex::new(Current { path: path.to_owned(), file, size }))))
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Current {
    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("log.1"))?;
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }
}

impl Write for Rotated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.size > LIMIT {
            // A log that cannot be put aside grows on: better than none.
            let _grows = current.rotate();
        }
        let count = current.file.write(bytes)?;
        current.size += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Rotated {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{LIMIT, Rotated, tail};

    #[test]
    fn a_large_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.log");
        std::fs::write(&path, vec![b'x'; usize::try_from(LIMIT).unwrap() + 1]).unwrap();
        let mut log = Rotated::open(&path).unwrap();
        log.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, 0, 2), "two\nthree");
        assert_eq!(tail(&path, 8, 2), "three");
        assert!(directory.path().join("daemon.log.1").metadata().unwrap().len() > LIMIT);
    }
}
