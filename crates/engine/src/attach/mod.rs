//! A client's connection to the streams of a container or an exec.
//!
//! The monitor has the streams; a session is one socket to it, and copies both ways. Without a
//! terminal the monitor frames the output, so that the bytes go on unchanged.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use stdx::keys::{DetachKeys, Matcher};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::container::LogSource;
use crate::containers::LogStream;
use crate::error::{Error, Result};

/// How long the last words of a client that has gone may take.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Bytes copied at once.
const BUFFER: usize = 16 << 10;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachEnd {
    /// The process closed its output.
    Finished,
    /// The detach keys were typed.
    Detached,
    /// The client went away.
    Gone,
}

/// The start of a process, yet to come.
pub(crate) struct Starting(Pin<Box<dyn Future<Output = Result<()>> + Send>>);

impl Starting {
    pub(crate) fn new(start: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        Self(Box::pin(start))
    }
}

impl fmt::Debug for Starting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Starting")
    }
}

/// A session, ready to be connected with the client.
#[derive(Debug)]
pub struct AttachSession {
    pub(crate) terminal: bool,
    /// What was logged before, when the client wants it.
    pub(crate) logs: Option<LogStream>,
    /// What starts the process, when that is left to the session: the client has then been told
    /// that its stream begins, and takes no output for a part of the answer's head.
    pub(crate) starting: Option<Starting>,
    /// Our end of the monitor's attach socket; absent when only the log is wanted.
    pub(crate) stream: Option<UnixStream>,
    /// Whether the client's bytes go to the process.
    pub(crate) stdin: bool,
    /// Keys that detach.
    pub(crate) keys: Option<DetachKeys>,
    /// The end of the process, which is waited for after its output's end: who then asks for the
    /// exit status gets it.
    pub(crate) ending: Option<watch::Receiver<Ending>>,
}

/// Whether a process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not yet.
    Running,
    /// Its exit status is known, or why it could not be started.
    Over,
    /// Nobody will hear of its end; the client is told why.
    Cut(String),
}

impl AttachSession {
    /// Whether the process has a terminal: its output is then raw; else it is framed, each piece
    /// with a header of eight bytes (stream 1 or 2, three zeros, big-endian length).
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Copies both ways until the process closes its output, the client goes or detaches. The end
    /// of `reader` closes the process's standard input and leaves the output running.
    ///
    /// # Errors
    /// When the connection to the monitor fails.
    pub async fn serve<R, W>(self, mut reader: R, mut writer: W) -> Result<AttachEnd>
    where
        R: AsyncRead + Unpin + Send,
        W: AsyncWrite + Unpin + Send,
    {
        if let Some(mut logs) = self.logs {
            while let Some(entry) = logs.next().await {
                let entry = entry?;
                let bytes = framed(entry.source, &entry.bytes, self.terminal);
                if send(&mut writer, &bytes).await.is_err() {
                    return Ok(AttachEnd::Gone);
                }
            }
        }
        if let Some(Starting(start)) = self.starting
            && let Err(error) = start.await
        {
            let text = format!("{}\r\n", stdx::chain(&error));
            let entry = framed(LogSource::Stdout, text.as_bytes(), self.terminal);
            let sent = send(&mut writer, &entry).await;
            return Ok(if sent.is_ok() { AttachEnd::Finished } else { AttachEnd::Gone });
        }
        let Some(mut stream) = self.stream else { return Ok(AttachEnd::Finished) };
        let (from_process, to_process) = stream.split();
        let matcher = self.keys.map(Matcher::new);
        let end = {
            let mut shown = std::pin::pin!(output(from_process, &mut writer));
            let mut typed = std::pin::pin!(input(&mut reader, to_process, matcher, self.stdin));
            tokio::select! {
                end = &mut shown => match end? {
                    // A client that detaches goes at once: what it typed last may be unread.
                    AttachEnd::Gone => last_typed(typed).await,
                    end => end,
                },
                end = &mut typed => match end {
                    Some(end) => end,
                    None => shown.await?,
                },
            }
        };
        if let (AttachEnd::Finished, Some(ending)) = (end, self.ending)
            && let Some(why) = await_end(ending).await
        {
            let entry = framed(LogSource::Stderr, format!("{why}\r\n").as_bytes(), self.terminal);
            // A client that has gone need not know.
            drop(send(&mut writer, &entry).await);
        }
        drop(writer.shutdown().await);
        Ok(end)
    }
}

/// Waits for the end of a process; gives what is to be said about it.
async fn await_end(mut ending: watch::Receiver<Ending>) -> Option<String> {
    let ending = ending.wait_for(|ending| *ending != Ending::Running).await.ok()?;
    match &*ending {
        Ending::Cut(why) => Some(why.clone()),
        Ending::Running | Ending::Over => None,
    }
}

async fn output<W: AsyncWrite + Unpin>(
    mut process: impl AsyncRead + Unpin,
    writer: &mut W,
) -> Result<AttachEnd> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match process.read(&mut buffer).await {
            Ok(0) => return Ok(AttachEnd::Finished),
            Ok(count) => count,
            Err(error) => return Err(Error::io("read from", "a monitor", error)),
        };
        if send(writer, &buffer[..count]).await.is_err() {
            return Ok(AttachEnd::Gone);
        }
    }
}

async fn send<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// How the session of a client that has gone has ended. Its process may take no more input, so nobody
/// waits for that long.
async fn last_typed(typed: impl Future<Output = Option<AttachEnd>>) -> AttachEnd {
    let end = tokio::time::timeout(LAST_WORDS, typed).await;
    end.ok().flatten().unwrap_or(AttachEnd::Gone)
}

/// How the session ends by it; `None` at the end of the client's input, which is no end of the
/// session.
async fn input<R: AsyncRead + Unpin>(
    reader: &mut R,
    mut process: impl AsyncWrite + Unpin,
    mut matcher: Option<Matcher>,
    wanted: bool,
) -> Option<AttachEnd> {
    let mut buffer = vec![0; BUFFER];
    let mut wanted = wanted;
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(count) if count > 0 => count,
            Ok(_) => break,
            Err(_) => return Some(AttachEnd::Gone),
        };
        let typed = &buffer[..count];
        let (forward, detach) = match &mut matcher {
            None => (typed.to_vec(), false),
            Some(matcher) => {
                let typed = matcher.push(typed);
                (typed.forward, typed.detach)
            }
        };
        // A process that closed its input takes no more; its output goes on.
        wanted = wanted && process.write_all(&forward).await.is_ok();
        if detach {
            return Some(AttachEnd::Detached);
        }
    }
    let held = matcher.as_mut().map(Matcher::finish).unwrap_or_default();
    if wanted {
        drop(process.write_all(&held).await);
        drop(process.shutdown().await);
    }
    None
}

/// A piece of output as an attached client gets it.
fn framed(source: LogSource, bytes: &[u8], terminal: bool) -> Vec<u8> {
    if terminal {
        return bytes.to_vec();
    }
    let stream = match source {
        LogSource::Stdout => 1,
        LogSource::Stderr => 2,
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = vec![stream, 0, 0, 0];
    frame.extend(length.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::{AttachEnd, AttachSession, DetachKeys};

    fn session(stream: UnixStream, stdin: bool) -> AttachSession {
        let keys = Some(DetachKeys::default());
        AttachSession {
            terminal: true,
            logs: None,
            starting: None,
            stream: Some(stream),
            stdin,
            keys,
            ending: None,
        }
    }

    #[tokio::test]
    async fn the_end_of_input_leaves_the_output_running() {
        let (ours, mut process) = UnixStream::pair().unwrap();
        let (client, served) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(served);
        let (mut from, mut to) = tokio::io::split(client);
        let client = async {
            to.write_all(b"in").await.unwrap();
            to.shutdown().await.unwrap();
            let mut input = Vec::new();
            process.read_to_end(&mut input).await.unwrap();
            process.write_all(b"out").await.unwrap();
            drop(process);
            let mut output = Vec::new();
            from.read_to_end(&mut output).await.unwrap();
            (input, output)
        };
        let (end, (input, output)) =
            tokio::join!(session(ours, true).serve(reader, writer), client);
        assert_eq!(
            (end.unwrap(), &input[..], &output[..]),
            (AttachEnd::Finished, &b"in"[..], &b"out"[..])
        );
    }

    #[tokio::test]
    async fn keys_detach_and_leave_the_process_its_bytes() {
        let (ours, mut process) = UnixStream::pair().unwrap();
        let (client, served) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(served);
        let (_from, mut to) = tokio::io::split(client);
        to.write_all(b"ls\n\x10\x11").await.unwrap();
        let end = session(ours, true).serve(reader, writer).await.unwrap();
        assert_eq!(end, AttachEnd::Detached);
        let mut input = Vec::new();
        process.read_to_end(&mut input).await.unwrap();
        assert_eq!(input, b"ls\n");
    }

    /// Whichever is seen first: that nothing can be shown any more, or the keys.
    #[tokio::test]
    async fn a_client_that_detaches_and_goes_has_detached() {
        for _ in 0..50 {
            let (ours, mut process) = UnixStream::pair().unwrap();
            let (client, served) = tokio::io::duplex(64);
            let (reader, writer) = tokio::io::split(served);
            let (from, mut to) = tokio::io::split(client);
            to.write_all(b"ls\n\x10\x11").await.unwrap();
            process.write_all(b"ls").await.unwrap();
            drop((from, to));
            let end = session(ours, true).serve(reader, writer).await.unwrap();
            assert_eq!(end, AttachEnd::Detached);
        }
    }
}
