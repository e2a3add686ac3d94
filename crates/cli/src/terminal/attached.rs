//! The streams of a container or exec, connected to those of the caller.

use docker_api::frame::{Decoder, Stream};
use docker_api::{Client, Hijacked, Query, WriteHalf};
use stdx::keys::{DetachKeys, Matcher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::RawMode;
use super::signals::{self, Caught};
use super::stdin;
use crate::error::{Error, Result};
use crate::output;

/// Bytes read at once.
const PIECE: usize = 32 << 10;

/// How the streams are connected.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// Path of the container or exec, such as `/containers/0123`.
    pub(crate) path: String,
    /// Standard input is passed on.
    pub(crate) stdin: bool,
    /// Output is awaited.
    pub(crate) output: bool,
    /// The other side has a terminal.
    pub(crate) tty: bool,
    /// Signals that are passed on to the container; caught from before its start, so that none is
    /// lost.
    pub(crate) signals: Option<Caught>,
    /// Keys that detach.
    pub(crate) detach_keys: String,
}

/// How it came to an end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The other side has closed its output.
    Closed,
    /// The user left by the keys.
    Detached,
    /// A signal ended the command while it held the terminal; its number.
    Interrupted(i32),
}

/// Connects the streams until one side has enough.
///
/// # Errors
/// Failures of the terminal, of the connection, and of standard output.
pub(crate) async fn run(client: &Client, hijacked: Hijacked, mut wiring: Wiring) -> Result<Ended> {
    let Hijacked { reader, writer, multiplexed } = hijacked;
    let keys = DetachKeys::parse(&wiring.detach_keys)
        .map_err(|unknown| Error::Options(unknown.to_string()))?;
    let _raw = if wiring.tty && wiring.stdin { RawMode::enter()? } else { None };
    let framed = multiplexed.unwrap_or(!wiring.tty) && !wiring.tty;
    let signals = wiring.signals.take();
    let input = async {
        if wiring.stdin {
            pass_input(writer, Some(keys).filter(|_| wiring.tty)).await
        } else {
            let _open = writer;
            std::future::pending().await
        }
    };
    let output = async {
        if wiring.output { pass_output(reader, framed).await } else { std::future::pending().await }
    };
    tokio::select! {
        biased;
        ended = output => ended,
        ended = input_end(input, wiring.output) => ended,
        number = pass_signals(client, &wiring, signals) => Ok(Ended::Interrupted(number)),
    }
}

/// The end of input ends everything only when the user detached or no output is awaited.
async fn input_end(
    input: impl Future<Output = Result<Ended>>,
    output_awaited: bool,
) -> Result<Ended> {
    match input.await {
        Ok(Ended::Closed) if output_awaited => std::future::pending().await,
        // The other side may close its input before its output has been read.
        Err(_) if output_awaited => std::future::pending().await,
        ended => ended,
    }
}

async fn pass_input(mut writer: WriteHalf, keys: Option<DetachKeys>) -> Result<Ended> {
    let failed = |source| Error::local("write", "standard input of the container", source);
    let mut pieces = stdin::open();
    let mut matcher = keys.clone().map(Matcher::new);
    while let Some(piece) = pieces.recv().await {
        let Some(matcher) = &mut matcher else {
            writer.write_all(&piece).await.map_err(failed)?;
            continue;
        };
        let typed = matcher.push(&piece);
        writer.write_all(&typed.forward).await.map_err(failed)?;
        if typed.detach {
            // The engine knows the keys too, and is to see that this is no broken connection.
            let bytes = keys.as_ref().map(DetachKeys::bytes).unwrap_or_default();
            drop(writer.write_all(bytes).await);
            return Ok(Ended::Detached);
        }
    }
    let held = matcher.as_mut().map(Matcher::finish).unwrap_or_default();
    writer.write_all(&held).await.map_err(failed)?;
    writer.shutdown().await.map_err(failed)?;
    Ok(Ended::Closed)
}

async fn pass_output(mut reader: docker_api::ReadHalf, framed: bool) -> Result<Ended> {
    let mut printer = Printer::new(framed);
    let mut piece = vec![0; PIECE];
    loop {
        // A reset connection is how an engine that goes away ends a stream.
        let count = reader.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return Ok(Ended::Closed);
        }
        printer.print(piece.get(..count).unwrap_or_default())?;
    }
}

/// Writes output to where it belongs.
#[derive(Debug)]
pub(crate) struct Printer {
    decoder: Option<Decoder>,
}

impl Printer {
    /// A printer of frames, or of bytes as they are.
    pub(crate) fn new(framed: bool) -> Self {
        Self { decoder: framed.then(Decoder::default) }
    }

    /// Prints the next bytes.
    ///
    /// # Errors
    /// When standard output or error take no more, and what the engine says in the stream.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(output::write_bytes(bytes)?);
        };
        let mut failure = None;
        decoder.feed(bytes, |stream, payload| {
            let result = match stream {
                Stream::Stdin | Stream::Stdout => output::write_bytes(payload),
                Stream::Stderr | Stream::System => output::error_bytes(payload),
            };
            if let Err(error) = result {
                failure.get_or_insert(error);
            }
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Passes on signals and changes of size; returns when a signal is to end the command.
async fn pass_signals(client: &Client, wiring: &Wiring, signals: Option<Caught>) -> i32 {
    if wiring.tty {
        return tokio::select! {
            () = follow_size(client, &wiring.path) => 0,
            number = wait_for_end(wiring.stdin) => number,
        };
    }
    let Some(mut caught) = signals else { return std::future::pending().await };
    let path = format!("{}/kill", wiring.path);
    loop {
        let (_, name) = caught.next().await;
        // A container that has just ended takes no signals; its end is on the way.
        drop(client.post_empty(&path, &Query::new().with("signal", name)).await);
    }
}

async fn wait_for_end(holds_terminal: bool) -> i32 {
    if holds_terminal { Caught::ending().next().await.0 } else { std::future::pending().await }
}

/// Tells the size of the terminal now and whenever it changes; never returns.
async fn follow_size(client: &Client, path: &str) {
    let mut changes = signals::resizes();
    loop {
        resize(client, path).await;
        match &mut changes {
            Some(changes) => drop(changes.recv().await),
            None => std::future::pending().await,
        }
    }
}

async fn resize(client: &Client, path: &str) {
    let [height, width] = super::size();
    if height == 0 && width == 0 {
        return;
    }
    let query = Query::new().with("h", height.to_string()).with("w", width.to_string());
    // Too early or too late does no harm.
    drop(client.post_empty(&format!("{path}/resize"), &query).await);
}
