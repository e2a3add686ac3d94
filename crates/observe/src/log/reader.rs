//! Reading a log.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::chain::{self, Part};
use super::follow::Follow;
use super::source::{Beginning, Source, select};
use super::{Entry, Query, Stop, Stream, encode, reverse};
use crate::Error;

/// Gives a log's entries in the order in which they were written. With `Query::follow` the iterator
/// blocks at the end until there is more, [`Stop::stop`] is called, `until` has passed, or the log
/// is removed.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    query: Query,
    parts: VecDeque<Part>,
    source: Option<Source>,
    follow: Option<Follow>,
    stop: Stop,
    /// The files have been looked at after the last change: at the end there is nothing more.
    is_last_look: bool,
    is_done: bool,
}

impl Reader {
    /// Opens the log at `path`. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// When a file that exists cannot be opened.
    pub fn open(path: &Path, query: Query) -> Result<Self, Error> {
        let stop = Stop::new()?;
        // The watch comes first: what is written after the files were opened is then told.
        let follow = match query.follow {
            true => Some(Follow::new(path, stop.clone())?),
            false => None,
        };
        let fail = |source| Error::file("read the log", path, source);
        let mut parts: VecDeque<Part> = chain::open(path)?.into();
        let mut beginning = Beginning::default();
        if let Some(count) = query.tail {
            let (first, found) = reverse::find(parts.make_contiguous(), count).map_err(fail)?;
            parts.drain(..first);
            beginning = found;
        }
        let mut reader = Self {
            path: path.to_owned(),
            query,
            parts,
            source: None,
            follow,
            stop,
            is_last_look: false,
            is_done: false,
        };
        reader.next_part(beginning)?;
        Ok(reader)
    }

    /// Ends a following reader from another thread.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Goes on to the next file, and watches it if it is the last; false when there is none.
    fn next_part(&mut self, beginning: Beginning) -> Result<bool, Error> {
        let Some(part) = self.parts.pop_front() else { return Ok(false) };
        let Query { since, until, .. } = self.query;
        let ranges = select(part.index.as_ref(), since, until, beginning.offset);
        let source = Source::new(part, ranges, beginning.skip);
        if let (true, Some(follow), Some(file)) =
            (self.parts.is_empty(), &mut self.follow, source.plain_file())
        {
            follow.watch(file)?;
        }
        self.source = Some(source);
        Ok(true)
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            while let Some(source) = &mut self.source {
                let line =
                    source.next_line().map_err(|error| Error::file("read", &self.path, error))?;
                let Some(line) = line else { break };
                match encode::decode(line) {
                    Some(entry) if self.is_wanted(&entry) => return Ok(Some(entry)),
                    Some(entry) if self.is_beyond(&entry) => return Ok(None),
                    _ => {}
                }
            }
            if !self.next_part(Beginning::default())? && !self.look_again()? {
                return Ok(None);
            }
        }
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        let stream = match entry.stream {
            Stream::Stdout => self.query.stdout,
            Stream::Stderr => self.query.stderr,
        };
        stream
            && self.query.since.is_none_or(|since| entry.time >= since)
            && self.query.until.is_none_or(|until| entry.time <= until)
    }

    /// A follower does not wait for what may come after an entry that is too late.
    fn is_beyond(&self, entry: &Entry) -> bool {
        self.follow.is_some() && self.query.until.is_some_and(|until| entry.time > until)
    }

    /// At the end of the last file: whether there may be more now. Waits when following.
    fn look_again(&mut self) -> Result<bool, Error> {
        let Some(follow) = &self.follow else { return Ok(false) };
        if self.is_last_look {
            // The old file was read to its end once more after its successor had been seen.
            self.is_last_look = false;
            self.parts = self.successors()?;
            return Ok(!self.parts.is_empty());
        }
        // First: what was written before is in this file, or in one that has followed it by now.
        let is_over = follow.is_over(self.query.until);
        let is_current = match self.source.as_ref().and_then(Source::plain_file) {
            Some(file) => chain::is_named(file, &self.path),
            None => !self.path.exists(),
        };
        if !is_current {
            if self.source.is_none() || !self.is_removed()? {
                self.is_last_look = true;
                return Ok(true);
            }
            return Ok(false);
        }
        if is_over {
            self.follow = None;
            return Ok(true);
        }
        follow.wait(self.query.until)?;
        Ok(true)
    }

    /// Whether the log as a whole has gone.
    fn is_removed(&self) -> Result<bool, Error> {
        Ok(chain::open_after(&self.path, self.generation())?.is_empty())
    }

    /// The files after the one just read.
    fn successors(&self) -> Result<VecDeque<Part>, Error> {
        let parts = chain::open_after(&self.path, self.generation())?;
        if self.generation().is_none() {
            return Ok(parts.into_iter().rev().take(1).collect());
        }
        Ok(parts.into())
    }

    /// Of the file just read.
    fn generation(&self) -> Option<u64> {
        self.source.as_ref().and_then(|source| source.generation)
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = self.next_entry().transpose();
        self.is_done = !matches!(entry, Some(Ok(_)));
        entry
    }
}
