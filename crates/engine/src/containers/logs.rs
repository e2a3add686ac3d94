//! Reading a container's log.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use observe::log::{Query, Reader, Stop, Stream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::entry::Container;
use super::{Containers, Shared, end};
use crate::container::{LogEntry, LogQuery, LogSource, log};
use crate::error::{Error, Result};

/// Entries read ahead of the receiver.
const AHEAD: usize = 64;

impl Containers {
    /// Its log.
    ///
    /// # Errors
    /// `Unsupported` with the log driver `none`.
    pub async fn logs(&self, name: &str, query: LogQuery) -> Result<LogStream> {
        let container = self.shared.table.find(name)?;
        open(&self.shared, &container, &query).await
    }
}

/// Opens a log; the entries come through a channel, so that a slow receiver holds the reader back.
///
/// # Errors
/// As [`Containers::logs`].
pub(super) async fn open(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    query: &LogQuery,
) -> Result<LogStream> {
    let (config, terminal) =
        container.read(|s| (s.record.spec.host.log.clone(), s.record.spec.terminal));
    if log::options(&config)?.is_none() {
        return Err(Error::Unsupported(
            "configured logging driver does not support reading".to_owned(),
        ));
    }
    // A container that does not run writes nothing more.
    let follow = query.follow && container.watch().borrow().active;
    let query = Query {
        since: query.since.map(nanoseconds),
        until: query.until.map(nanoseconds),
        tail: query.tail,
        follow,
        stdout: query.stdout,
        stderr: query.stderr,
    };
    let path = shared.rooms.store.layout().log_path(&container.id);
    let reader = shared.rooms.blocking("open a log", move |_| open_reader(&path, query)).await?;
    let stop = reader.stop();
    let (sender, entries) = mpsc::channel(AHEAD);
    shared.rooms.aside("log", move || read(reader, &sender))?;
    let reading = CancellationToken::new();
    if follow {
        let end = stop_at_end(Arc::clone(shared), Arc::clone(container), stop.clone());
        let left = reading.clone();
        shared.spawn(async move {
            tokio::select! {
                () = end => {}
                () = left.cancelled() => {}
            }
        });
    }
    Ok(LogStream { entries, stop, terminal, _reading: reading.drop_guard() })
}

fn open_reader(path: &Path, query: Query) -> Result<Reader> {
    Reader::open(path, query)
        .map_err(|error| Error::failed("open log", path.display().to_string(), error.kind(), error))
}

fn read(reader: Reader, sender: &mpsc::Sender<Result<LogEntry>>) {
    for entry in reader {
        let entry = entry
            .map(|entry| LogEntry {
                time: end::timestamp(entry.time),
                source: match entry.stream {
                    Stream::Stdout => LogSource::Stdout,
                    Stream::Stderr => LogSource::Stderr,
                },
                bytes: entry.bytes,
            })
            .map_err(|error| Error::failed("read", "a log", error.kind(), error));
        if sender.blocking_send(entry).is_err() {
            return;
        }
    }
}

/// Ends a following reader once nothing more can come. What was written before is still given.
async fn stop_at_end(shared: Arc<Shared>, container: Arc<Container>, stop: Stop) {
    let mut watch = container.watch();
    tokio::select! {
        () = shared.rooms.cancel.cancelled() => {}
        _ = watch.wait_for(|phase| !phase.active || phase.removed) => {}
    }
    stop.stop();
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

/// The entries of a log, as they come. Dropping it ends the reading.
#[derive(Debug)]
pub struct LogStream {
    entries: mpsc::Receiver<Result<LogEntry>>,
    stop: Stop,
    terminal: bool,
    /// Ends with the stream.
    _reading: DropGuard,
}

impl LogStream {
    /// Whether the container has a terminal: entries are then sent raw.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// The next entry; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<LogEntry>> {
        self.entries.recv().await
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.stop.stop();
    }
}
